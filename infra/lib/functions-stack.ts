import { createHash } from 'node:crypto';
import { CfnOutput, CustomResource, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import { OAuthScope, UserPoolClient } from 'aws-cdk-lib/aws-cognito';
import { Rule } from 'aws-cdk-lib/aws-events';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { SqsEventSource } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { accountStatements, secretStatements, tableKeyStatement, tableStatements } from './access.ts';
import { DASHBOARD_SECRET, owners, type Config } from './connectors.ts';
import { Alarms } from './constructs/alarms.ts';
import { Api } from './constructs/http-api.ts';
import { Overview } from './constructs/overview.ts';
import { RustFunction } from './constructs/rust-function.ts';
import { EXECUTION_ID, Schedules } from './constructs/schedules.ts';
import { DeadLetters, watchDeadLetters, WorkQueue } from './constructs/work-queue.ts';
import { queueVariable, rowsFor, SCANNERS, type FunctionRow } from './functions.ts';
import { networkOf, type Settings } from './settings.ts';
import type { StatefulStack } from './stateful-stack.ts';

export interface FunctionsStackProps extends StackProps {
  readonly config: Config;
  readonly settings: Settings;
  readonly stateful: StatefulStack;
  /** Folder with one folder per binary. */
  readonly binaries: string;
}

/** Everything that can be thrown away and made again: functions, queues, schedules, API, alarms. */
export class FunctionsStack extends Stack {
  readonly #props: FunctionsStackProps;
  readonly #alarms: Alarms;
  readonly #api: Api;
  readonly #queues = new Map<string, WorkQueue>();
  readonly #functions = new Map<string, RustFunction>();

  constructor(scope: Construct, id: string, props: FunctionsStackProps) {
    super(scope, id, props);
    this.#props = props;
    const { config, settings, stateful } = props;
    const types = new Set(config.connectors.map(({ type }) => type));
    const rows = rowsFor(types);

    this.#alarms = new Alarms(this, 'Alarms', { prefix: settings.name, emails: settings.alarms.emails, key: stateful.key });
    this.#api = new Api(this, 'Http', { settings, alarms: this.#alarms });
    for (const { name, timeout, trigger } of rows) {
      if (trigger.by === 'queue') {
        this.#queues.set(name, new WorkQueue(this, `Queue-${name}`, { prefix: settings.name, name, timeout, alarms: this.#alarms }));
      }
    }
    const schedules = new Schedules(this, 'Schedules', { prefix: settings.name });
    for (const row of rows) {
      this.#functions.set(row.name, this.#function(row, schedules));
    }
    this.#configuration();
    for (const connector of config.connectors) {
      if (!SCANNERS.some((row) => row.type === connector.type && row.events)) {
        const message = { connector: connector.name, start: 'scheduled', request: EXECUTION_ID };
        schedules.message(`sync-${connector.name}`, connector.syncInterval, message, this.#queue(`sync-${connector.type}`));
      }
    }
    schedules.message('sync-intel', config.feedsInterval, { start: 'scheduled' }, this.#queue('sync-intel'));
    schedules.message('sync-exposure', config.exposureInterval, { start: 'scheduled' }, this.#queue('sync-exposure'));
    for (const row of SCANNERS.filter(({ type }) => types.has(type))) {
      row.events?.forEach(({ source, detailType }, i) => this.#events(`Events-${row.type}-${i}`, source, detailType, `sync-${row.type}`));
    }
    new Overview(this, 'Overview', {
      name: settings.name,
      config,
      functions: this.#functions,
      queues: this.#queues,
      api: this.#api.api,
      table: stateful.table,
      alarms: this.#alarms,
    });
    this.#budget();
    new CfnOutput(this, 'Dashboard', { value: this.#api.publicUrl, description: 'The pages' });
    new CfnOutput(this, 'Webhooks', { value: `${this.#api.api.apiEndpoint}/webhooks/`, description: 'Where sources push to' });
    new CfnOutput(this, 'SecretPrefix', { value: stateful.secretPrefix, description: 'Beginning of the names of secrets' });
  }

  #queue(name: string): WorkQueue {
    const found = this.#queues.get(name);
    if (!found) {
      throw new Error(`there is no queue ${name}`);
    }
    return found;
  }

  /** The queues of a row that exist in this deployment. */
  #targets(row: FunctionRow): [string, IQueue][] {
    const scanners = [...this.#queues.keys()].filter((name) => SCANNERS.some(({ type }) => name === `sync-${type}`));
    const names = row.sends.flatMap((name) => (name === 'sync' ? scanners : [name]));
    return names.map((name) => [name, this.#queue(name).queue]);
  }

  #secrets(row: FunctionRow): string[] {
    const { config, stateful } = this.#props;
    const names = (): readonly string[] => {
      switch (row.secrets) {
        case undefined:
          return [];
        case 'dashboard':
          return [DASHBOARD_SECRET];
        case 'connectors':
          return owners(config.connectors.filter(({ type }) => row.name === `sync-${type}`));
        default:
          return owners(config[row.secrets]);
      }
    };
    return names().map((name) => `${stateful.secretPrefix}${name}`);
  }

  #function(row: FunctionRow, schedules: Schedules): RustFunction {
    const { config, settings, stateful, binaries } = this.#props;
    const { trigger } = row;
    const targets = this.#targets(row);
    const statements = [
      ...tableStatements(stateful.table, row.table),
      tableKeyStatement(this, stateful.key, row.table.write !== undefined),
      ...secretStatements(this, stateful.key, this.#secrets(row)),
      ...(row.accounts ? accountStatements(config.accounts) : []),
    ];
    if (targets.length > 0) {
      statements.push(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: targets.map(([, queue]) => queue.queueArn) }));
    }
    const dead = trigger.by === 'schedule' ? new DeadLetters(this, `Dead-${row.name}`, { name: `${settings.name}-${row.name}` }) : undefined;
    const made = new RustFunction(this, `Function-${row.name}`, {
      row,
      settings,
      binaries,
      environment: {
        TABLE: stateful.table.tableName,
        SECRET_PREFIX: stateful.secretPrefix,
        // Functions read the configuration when they start: a change has to start them anew.
        ...(trigger.by === 'deployment' ? {} : { CONFIG_DIGEST: digest(config.document.text) }),
        ...Object.fromEntries(targets.map(([name, queue]) => [queueVariable(name), queue.queueUrl])),
        ...(row.secrets === 'dashboard' ? this.#signIn() : {}),
      },
      statements,
      network: row.secrets === 'connectors' ? networkOf(row.name.replace('sync-', ''), settings, config) : undefined,
      ...(dead ? { deadLetters: dead } : {}),
      alarms: this.#alarms,
    });
    switch (trigger.by) {
      case 'queue':
        made.function.addEventSource(new SqsEventSource(this.#queue(row.name).queue, {
          batchSize: trigger.batch,
          maxConcurrency: trigger.concurrency,
          reportBatchItemFailures: true,
        }));
        break;
      case 'schedule':
        if (dead) {
          watchDeadLetters(this.#alarms, row.name, dead);
          schedules.call(row.name, trigger.minutes * 60, { function: made.function, dead });
        }
        break;
      case 'api':
        this.#api.route(trigger.route, made.function);
        break;
      case 'deployment':
        break;
    }
    return made;
  }

  /** How people sign in: with the user pool of this deployment, or with another provider. */
  #signIn(): Record<string, string> {
    const { settings, stateful } = this.#props;
    const { provider } = settings.sign_in;
    const publicUrl = this.#api.publicUrl;
    if (provider) {
      return {
        PUBLIC_URL: publicUrl,
        OIDC_ISSUER: provider.issuer,
        OIDC_CLIENT_ID: provider.client_id,
        ...(provider.roles_claim === undefined ? {} : { OIDC_ROLES_CLAIM: provider.roles_claim }),
      };
    }
    if (!stateful.people) {
      throw new Error('neither a user pool nor a provider');
    }
    const pool = stateful.people;
    // Here and not beside the pool, because it names the address of the API. Its endpoints are those that the
    // pool's discovery document names. A public client: the code is bound to
    // the browser by PKCE, and there is no secret to keep.
    const client = new UserPoolClient(this, 'SignInClient', {
      userPool: pool,
      userPoolClientName: settings.name,
      generateSecret: false,
      preventUserExistenceErrors: true,
      authFlows: { userSrp: true },
      oAuth: {
        flows: { authorizationCodeGrant: true },
        scopes: [OAuthScope.OPENID, OAuthScope.EMAIL],
        callbackUrls: [`${publicUrl}/auth/callback`],
        logoutUrls: [`${publicUrl}/`],
      },
      accessTokenValidity: Duration.hours(1),
      idTokenValidity: Duration.hours(1),
      refreshTokenValidity: Duration.hours(12),
      enableTokenRevocation: true,
    });
    return {
      PUBLIC_URL: publicUrl,
      OIDC_ISSUER: `https://cognito-idp.${this.region}.${this.urlSuffix}/${pool.userPoolId}`,
      OIDC_CLIENT_ID: client.userPoolClientId,
    };
  }

  /** Stores connectors.yaml before any function that reads it is created or started anew. */
  #configuration(): void {
    const { config } = this.#props;
    const configure = this.#functions.get('configure');
    if (!configure) {
      throw new Error('there is no function configure');
    }
    const stored = new CustomResource(this, 'Configuration', {
      resourceType: 'Custom::Configuration',
      serviceToken: configure.function.functionArn,
      serviceTimeout: Duration.minutes(5),
      properties: { Name: config.document.name, Document: config.document.text },
    });
    stored.node.addDependency(configure);
    for (const [name, made] of this.#functions) {
      if (name !== 'configure') {
        made.function.node.addDependency(stored);
      }
    }
  }

  #events(id: string, source: string, detailType: string, to: string): void {
    const { queue, dead } = this.#queue(to);
    new Rule(this, id, {
      description: `${detailType} to ${to}`,
      eventPattern: { source: [source], detailType: [detailType] },
      targets: [new SqsQueue(queue, { deadLetterQueue: dead, maxEventAge: Duration.hours(24), retryAttempts: 185 })],
    });
  }

  #budget(): void {
    const { settings } = this.#props;
    if (settings.budget.monthly_usd === 0) {
      return;
    }
    const subscribers = [{ subscriptionType: 'SNS', address: this.#alarms.topic.topicArn }];
    const at = (notificationType: string, threshold: number) => ({
      notification: { notificationType, threshold, thresholdType: 'PERCENTAGE', comparisonOperator: 'GREATER_THAN' },
      subscribers,
    });
    new CfnBudget(this, 'Budget', {
      budget: {
        budgetName: settings.name,
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: settings.budget.monthly_usd, unit: 'USD' },
        costFilters: { TagKeyValue: [`user:${DEPLOYMENT_TAG}$${settings.name}`] },
      },
      notificationsWithSubscribers: [at('ACTUAL', 80), at('ACTUAL', 100), at('FORECASTED', 100)],
    });
  }
}

/** Tag on everything that can have one; the budget counts what carries it. */
export const DEPLOYMENT_TAG = 'vulnrelay-deployment';

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
