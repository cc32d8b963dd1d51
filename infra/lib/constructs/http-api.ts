import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  HttpApi, HttpMethod, HttpNoneAuthorizer, HttpRoute, HttpRouteKey, HttpStage, LogGroupLogDestination, type CfnStage,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Settings } from '../settings.ts';
import { FIVE_MINUTES, type Alarms } from './alarms.ts';

/** Neither query nor headers: they may hold credentials. */
const LOGGED = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  ip: '$context.identity.sourceIp',
  method: '$context.httpMethod',
  route: '$context.routeKey',
  path: '$context.path',
  status: '$context.status',
  bytes: '$context.responseLength',
  milliseconds: '$context.responseLatency',
  error: '$context.error.message',
  integrationError: '$context.integrationErrorMessage',
};

/** The route that programs push to. */
const WEBHOOK = 'POST /webhooks/{source}';

/** Who verifies the caller of each route, since API Gateway does not. */
const VERIFIED: Readonly<Record<string, string>> = {
  [WEBHOOK]: 'The function verifies each push on its raw bytes: signature, time, repetition.',
  $default:
    'The function verifies each caller: a browser by the cookie of its sign-in, a program by its token. An authoriser reads one header '
    + 'and would know neither the cookie nor tokens that are not JWTs.',
};

/** The HTTP API: pushes and the dashboard. */
export class Api extends Construct {
  readonly api: HttpApi;
  /** Address under which people reach the pages. */
  readonly publicUrl: string;
  readonly #stage: HttpStage;
  readonly #settings: Settings;

  constructor(scope: Construct, id: string, props: { settings: Settings; alarms: Alarms }) {
    super(scope, id);
    const { settings, alarms } = props;
    this.#settings = settings;
    this.api = new HttpApi(this, 'Api', {
      apiName: settings.name,
      description: 'Pushes and the dashboard',
      createDefaultStage: false,
    });
    this.publicUrl = settings.api.public_url ?? this.api.apiEndpoint;
    this.#stage = new HttpStage(this, 'Stage', {
      httpApi: this.api,
      stageName: '$default',
      autoDeploy: true,
      detailedMetricsEnabled: true,
      throttle: { rateLimit: settings.api.rate, burstLimit: settings.api.burst },
      accessLogSettings: {
        destination: new LogGroupLogDestination(
          new LogGroup(this, 'AccessLog', {
            // The prefix of logs that AWS delivers: without it each log group lengthens a policy of limited size.
            logGroupName: `/aws/vendedlogs/${settings.name}/api`,
            retention: settings.logs.retention_days,
            removalPolicy: RemovalPolicy.DESTROY,
          }),
        ),
        format: AccessLogFormat.custom(JSON.stringify(LOGGED)),
      },
    });
    alarms.add('api-fails', {
      metric: this.api.metricServerError({ period: FIVE_MINUTES, statistic: 'Sum' }),
      above: 0,
      periods: 2,
      outOf: 3,
      remedy: 'Pages or pushes are answered with an error of the server. The logs of dashboard and webhook say why (README: api-fails).',
    });
  }

  /** Sends a route to a function. */
  route(route: string, to: IFunction): void {
    const [method, path] = route.split(' ');
    const key = route === '$default' ? HttpRouteKey.DEFAULT : HttpRouteKey.with(path ?? '', method as HttpMethod);
    const made = new HttpRoute(this, `Route-${to.node.scope?.node.id ?? route}`, {
      httpApi: this.api,
      routeKey: key,
      integration: new HttpLambdaIntegration(`Integration-${to.node.scope?.node.id ?? route}`, to),
      authorizer: new HttpNoneAuthorizer(),
    });
    const reason = VERIFIED[route];
    if (reason) {
      Validations.of(made).acknowledge({ id: 'AwsSolutions::AwsSolutions-APIG4', reason });
    }
    if (route === WEBHOOK) {
      const { webhook_rate, webhook_burst } = this.#settings.api;
      const stage = this.#stage.node.defaultChild as CfnStage;
      stage.routeSettings = {
        [route]: { ThrottlingRateLimit: webhook_rate, ThrottlingBurstLimit: webhook_burst, DetailedMetricsEnabled: true },
      };
      // A stage that speaks of a route needs it to exist.
      this.#stage.node.addDependency(made);
    }
  }
}
