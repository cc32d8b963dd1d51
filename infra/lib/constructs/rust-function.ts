import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  ApplicationLogLevel, Architecture, Code, Function, LoggingFormat, Runtime, SystemLogLevel, Tracing, type CfnFunction,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { DocumentError } from '../document.ts';
import type { FunctionRow } from '../functions.ts';
import type { Network, Settings } from '../settings.ts';
import { FIVE_MINUTES, type Alarms } from './alarms.ts';

/** Largest package that Lambda takes. That releases stay below 8 MB is seen to where they are built (infra/build.sh). */
const MAX_ZIP = 50 * 1024 * 1024;
/** Share of the timeout that should not be used up. */
const NEAR_TIMEOUT = 0.9;

export interface RustFunctionProps {
  readonly row: FunctionRow;
  readonly settings: Settings;
  /** Folder with one folder per binary, as cargo lambda leaves it. */
  readonly binaries: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly statements: readonly PolicyStatement[];
  readonly network?: Network | undefined;
  /** Where events end that nobody waits for. */
  readonly deadLetters?: IQueue;
  readonly alarms: Alarms;
}

/** One Lambda function with its own role, its own log and its alarms. */
export class RustFunction extends Construct {
  readonly function: Function;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    const { row, settings, alarms } = props;
    const name = `${settings.name}-${row.name}`;
    const logGroup = new LogGroup(this, 'Log', {
      logGroupName: `/aws/lambda/${name}`,
      retention: settings.logs.retention_days,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `${row.does}: may do only that`,
    });
    role.addToPolicy(new PolicyStatement({
      actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      resources: [logGroup.logGroupArn],
    }));
    for (const statement of props.statements) {
      role.addToPolicy(statement);
    }
    if (props.network) {
      networkStatements(this, props.network).forEach((statement) => role.addToPolicy(statement));
      Validations.of(role).acknowledge({
        id: 'AwsSolutions::AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:network-interface/*]',
        reason: 'The interface does not exist before Lambda creates it; subnets and security groups are named.',
      });
    }
    this.function = new Function(this, 'Function', {
      functionName: name,
      description: row.does,
      runtime: Runtime.PROVIDED_AL2023,
      architecture: settings.architecture === 'arm64' ? Architecture.ARM_64 : Architecture.X86_64,
      handler: 'bootstrap',
      code: Code.fromAsset(zipOf(props.binaries, row.name)),
      memorySize: row.memory,
      timeout: Duration.seconds(row.timeout),
      role,
      logGroup,
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel[settings.logs.level],
      systemLogLevelV2: SystemLogLevel.WARN,
      tracing: Tracing.ACTIVE,
      environment: { ...props.environment },
      ...(props.deadLetters ? { deadLetterQueue: props.deadLetters } : {}),
    });
    if (props.network) {
      (this.function.node.defaultChild as CfnFunction).vpcConfig = {
        subnetIds: [...props.network.subnet_ids],
        securityGroupIds: [...props.network.security_group_ids],
      };
    }
    acknowledge(this, row);
    this.#watch(row, alarms);
  }

  #watch(row: FunctionRow, alarms: Alarms): void {
    const { name, timeout } = row;
    alarms.add(`${name}-errors`, {
      metric: this.function.metricErrors({ period: FIVE_MINUTES }),
      above: 0,
      periods: 2,
      outOf: 3,
      remedy: `${name} fails as a whole: it cannot start, or it times out. Its log says why (README: *-errors).`,
    });
    alarms.add(`${name}-throttled`, {
      metric: this.function.metricThrottles({ period: FIVE_MINUTES }),
      above: 0,
      periods: 3,
      outOf: 3,
      remedy: `${name} is not run because the account's concurrency is used up. Nothing is lost, it is late (README: *-throttled).`,
    });
    alarms.add(`${name}-slow`, {
      metric: this.function.metricDuration({ period: FIVE_MINUTES, statistic: 'Maximum' }),
      above: timeout * 1000 * NEAR_TIMEOUT,
      periods: 3,
      outOf: 3,
      remedy: `${name} needs almost its whole timeout of ${timeout} s (README: *-slow).`,
    });
  }
}

/** The package of a binary, if it was built and Lambda takes it. */
function zipOf(binaries: string, binary: string): string {
  const zip = join(binaries, binary, 'bootstrap.zip');
  if (!existsSync(zip)) {
    throw new DocumentError(`${zip} does not exist: build it with infra/build.sh ${binary}, or leave out -c binaries=DIR`);
  }
  const { size } = statSync(zip);
  if (size > MAX_ZIP) {
    throw new DocumentError(`${zip} has ${size} bytes, Lambda takes ${MAX_ZIP}: see what the binary gained, and that it is a release build`);
  }
  return zip;
}

/** What Lambda needs to attach a function to subnets, for these only. */
function networkStatements(scope: Construct, network: Network): PolicyStatement[] {
  const stack = Stack.of(scope);
  const arn = (resource: string, resourceName: string) => stack.formatArn({ service: 'ec2', resource, resourceName });
  const interfaces = arn('network-interface', '*');
  return [
    new PolicyStatement({
      actions: ['ec2:CreateNetworkInterface'],
      resources: [
        interfaces,
        ...network.subnet_ids.map((id) => arn('subnet', id)),
        ...network.security_group_ids.map((id) => arn('security-group', id)),
      ],
    }),
    new PolicyStatement({
      actions: ['ec2:DeleteNetworkInterface', 'ec2:AssignPrivateIpAddresses', 'ec2:UnassignPrivateIpAddresses'],
      resources: [interfaces],
    }),
    // Describing has no resource to name.
    new PolicyStatement({ effect: Effect.ALLOW, actions: ['ec2:DescribeNetworkInterfaces', 'ec2:DescribeSubnets'], resources: ['*'] }),
  ];
}

function acknowledge(scope: RustFunction, row: FunctionRow): void {
  Validations.of(scope).acknowledge({
    id: 'AwsSolutions::AwsSolutions-IAM5[Resource::*]',
    reason: 'X-Ray takes trace segments without a resource to name; so do calls that describe a network.',
  });
  const waited: Partial<Record<FunctionRow['trigger']['by'], string>> = {
    queue: 'Called by the poller of its queue, which has dead letters of its own.',
    api: 'Called synchronously: the caller has the error and repeats the call.',
    deployment: 'Called by CloudFormation, which reports the failure and rolls back.',
  };
  const reason = waited[row.trigger.by];
  if (reason) {
    Validations.of(scope.function).acknowledge({ id: 'Serverless::Serverless-LambdaDLQ', reason });
  }
  if (row.trigger.by === 'queue') {
    Validations.of(scope.function).acknowledge({
      id: 'Serverless::Serverless-LambdaEventSourceMappingDestination',
      reason: 'A queue has no such destination: its own dead letters take what failed.',
    });
  }
}
