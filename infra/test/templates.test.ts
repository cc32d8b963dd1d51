import { describe, expect, it } from 'vitest';
import { FUNCTIONS, SCANNERS, scannerFunction } from '../lib/functions.ts';
import {
  AWS, complaint, functionOf, list, QUALYS, resources, statementsOf, stubBinaries, synthesise, TENABLE, WHOLE, type Resource, type Statement,
} from './support.ts';
import { createApp } from '../lib/app.ts';
import { file } from './support.ts';

const { stateful, functions } = synthesise(WHOLE);
const lambdas = resources(functions, 'AWS::Lambda::Function');
const queues = resources(functions, 'AWS::SQS::Queue');
const alarms = resources(functions, 'AWS::CloudWatch::Alarm');
const mappings = resources(functions, 'AWS::Lambda::EventSourceMapping');
const schedules = resources(functions, 'AWS::Scheduler::Schedule');
const rows = [...FUNCTIONS, ...SCANNERS.filter(({ type }) => ['qualys', 'tenable'].includes(type)).map(scannerFunction)];
const nameOf = (lambda: Resource) => (lambda.Properties['FunctionName'] as string).replace('vulnrelay-', '');
const isDead = (queue: Resource) => (queue.Properties['QueueName'] as string).endsWith('-dead');
const byId = (id: string | undefined) => queues.find((queue) => queue.id === id);
const arnOf = (value: any): string | undefined => value?.['Fn::GetAtt']?.[0];
const watched = (dimension: string, value: unknown) =>
  alarms
    .filter(({ Properties }) => (Properties['Dimensions'] as { Name: string; Value: any }[] | undefined)
      ?.some(({ Name, Value }) => Name === dimension && JSON.stringify(Value) === JSON.stringify(value)))
    .map(({ Properties }) => Properties['MetricName'] as string)
    .sort();

describe('every function', () => {
  it('is there once', () => {
    expect(lambdas.map(nameOf).sort()).toEqual(rows.map(({ name }) => name).sort());
  });

  it.each(lambdas.map((lambda) => [nameOf(lambda), lambda] as const))('%s runs as it should', (_, { Properties }) => {
    expect(Properties).toMatchObject({
      Runtime: 'provided.al2023',
      Architectures: ['arm64'],
      Handler: 'bootstrap',
      TracingConfig: { Mode: 'Active' },
      LoggingConfig: { LogFormat: 'JSON', ApplicationLogLevel: 'INFO' },
    });
    expect(Properties['Environment'].Variables).toMatchObject({ TABLE: expect.anything(), SECRET_PREFIX: 'vulnrelay/' });
    const log = resources(functions, 'AWS::Logs::LogGroup').find(({ id }) => id === Properties['LoggingConfig'].LogGroup.Ref);
    expect(log?.Properties['RetentionInDays']).toBe(30);
  });

  it.each(lambdas.map((lambda) => [nameOf(lambda), lambda] as const))('%s has a role of its own', (_, lambda) => {
    const others = lambdas.filter((other) => other !== lambda);
    expect(others.map(({ Properties }) => arnOf(Properties['Role']))).not.toContain(arnOf(lambda.Properties['Role']));
    const role = resources(functions, 'AWS::IAM::Role').find(({ id }) => id === arnOf(lambda.Properties['Role']));
    expect(role?.Properties['ManagedPolicyArns']).toBeUndefined();
  });

  it.each(lambdas.map((lambda) => [nameOf(lambda), lambda] as const))('%s loses nothing: its failures end in dead letters or with a caller who waits', (name, lambda) => {
    const row = rows.find((one) => one.name === name)!;
    switch (row.trigger.by) {
      case 'queue': {
        const mapping = mappings.find(({ Properties }) => Properties['FunctionName'].Ref === lambda.id);
        const queue = byId(arnOf(mapping?.Properties['EventSourceArn']));
        expect(isDead(byId(arnOf(queue?.Properties['RedrivePolicy'].deadLetterTargetArn))!)).toBe(true);
        break;
      }
      case 'schedule':
        expect(isDead(byId(arnOf(lambda.Properties['DeadLetterConfig'].TargetArn))!)).toBe(true);
        break;
      default:
        // API Gateway and CloudFormation wait for the answer.
        expect(mappings.some(({ Properties }) => Properties['FunctionName'].Ref === lambda.id)).toBe(false);
    }
  });

  it.each(lambdas.map((lambda) => [nameOf(lambda), lambda] as const))('%s is watched', (_, lambda) => {
    expect(watched('FunctionName', { Ref: lambda.id })).toEqual(['Duration', 'Errors', 'Throttles']);
  });

  it('has its configuration stored before it starts, and starts anew with each one', () => {
    const stored = resources(functions, 'Custom::Configuration');
    expect(stored).toHaveLength(1);
    expect(stored[0]!.Properties).toMatchObject({ Name: 'connectors.yaml', Document: WHOLE });
    const others = lambdas.filter((lambda) => nameOf(lambda) !== 'configure');
    for (const lambda of others) {
      expect(lambda.DependsOn, lambda.id).toContain(stored[0]!.id);
    }
    const changed = synthesise(WHOLE.replace('sync_interval: 4h', 'sync_interval: 5h')).functions;
    for (const lambda of others) {
      expect(functionOf(changed, nameOf(lambda)).Properties['Environment'].Variables.CONFIG_DIGEST)
        .not.toBe(lambda.Properties['Environment'].Variables.CONFIG_DIGEST);
    }
  });

  it('knows the addresses of exactly the queues that it may send to', () => {
    for (const lambda of lambdas) {
      const variables = lambda.Properties['Environment'].Variables as Record<string, any>;
      const known = Object.entries(variables).filter(([name]) => name.startsWith('QUEUE_')).map(([, value]) => value.Ref as string);
      const allowed = statementsOf(functions, nameOf(lambda))
        .filter((statement) => list(statement.Action).includes('sqs:SendMessage'))
        .flatMap((statement) => list<any>(statement.Resource as any).map(arnOf))
        .filter((id) => !isDead(byId(id)!));
      expect(known.sort(), lambda.id).toEqual(allowed.sort());
    }
    expect(Object.keys(functionOf(functions, 'webhook').Properties['Environment'].Variables))
      .toEqual(expect.arrayContaining(['QUEUE_SYNC_QUALYS', 'QUEUE_SYNC_TENABLE']));
  });
});

describe('every queue', () => {
  it.each(queues.map((queue) => [queue.Properties['QueueName'] as string, queue] as const))('%s is encrypted, takes TLS only and keeps messages for two weeks', (_, queue) => {
    expect(queue.Properties).toMatchObject({ SqsManagedSseEnabled: true, MessageRetentionPeriod: 1_209_600 });
    const policies = resources(functions, 'AWS::SQS::QueuePolicy').filter(({ Properties }) => Properties['Queues'].some(({ Ref }: any) => Ref === queue.id));
    const statements = policies.flatMap(({ Properties }) => Properties['PolicyDocument'].Statement as Statement[]);
    expect(statements).toContainEqual(expect.objectContaining({ Effect: 'Deny', Action: 'sqs:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }));
    // Nobody outside of this account and of the named service may send.
    for (const statement of statements.filter(({ Effect }) => Effect === 'Allow')) {
      expect(statement.Condition, JSON.stringify(statement)).toBeDefined();
    }
  });

  it.each(queues.filter((queue) => !isDead(queue)).map((queue) => [queue.Properties['QueueName'] as string, queue] as const))('%s waits six timeouts, gives up after ten receives, and is watched', (_, queue) => {
    const mapping = mappings.find(({ Properties }) => arnOf(Properties['EventSourceArn']) === queue.id)!;
    const lambda = lambdas.find(({ id }) => id === mapping.Properties['FunctionName'].Ref)!;
    expect(queue.Properties['VisibilityTimeout']).toBeGreaterThanOrEqual(6 * lambda.Properties['Timeout']);
    expect(queue.Properties['RedrivePolicy'].maxReceiveCount).toBe(10);
    expect(mapping.Properties['FunctionResponseTypes']).toEqual(['ReportBatchItemFailures']);
    expect(mapping.Properties['ScalingConfig'].MaximumConcurrency).toBeGreaterThanOrEqual(2);
    expect(watched('QueueName', { 'Fn::GetAtt': [queue.id, 'QueueName'] })).toEqual(['ApproximateAgeOfOldestMessage']);
  });

  it.each(queues.filter(isDead).map((queue) => [queue.Properties['QueueName'] as string, queue] as const))('%s tells when something is in it', (_, queue) => {
    const alarm = alarms.find(({ Properties }) => Properties['MetricName'] === 'ApproximateNumberOfMessagesVisible'
      && Properties['Dimensions'][0].Value['Fn::GetAtt'][0] === queue.id);
    expect(alarm?.Properties).toMatchObject({ Threshold: 0, ComparisonOperator: 'GreaterThanThreshold', EvaluationPeriods: 1 });
  });

  it('works scanners within their limits, one unit at a time', () => {
    for (const { type, concurrency } of SCANNERS.filter(({ type }) => ['qualys', 'tenable'].includes(type))) {
      const id = functionOf(functions, `sync-${type}`).id;
      const mapping = mappings.find(({ Properties }) => Properties['FunctionName'].Ref === id)!;
      expect(mapping.Properties).toMatchObject({ BatchSize: 1, ScalingConfig: { MaximumConcurrency: concurrency } });
    }
  });
});

describe('every schedule', () => {
  it('is one per connector, and one each for feeds, exposure and timers', () => {
    expect(schedules.map(({ Properties }) => [Properties['Name'], Properties['ScheduleExpression']]).sort()).toEqual([
      ['sla', 'rate(5 minutes)'],
      ['sync-exposure', 'rate(1 hour)'],
      ['sync-intel', 'rate(6 hours)'],
      ['sync-qualys-prod', 'rate(4 hours)'],
      ['sync-tenable-prod', 'rate(1 hour)'],
    ]);
  });

  it.each(schedules.map((schedule) => [schedule.Properties['Name'] as string, schedule] as const))('%s has dead letters and an end of its retries', (_, { Properties }) => {
    const target = Properties['Target'];
    expect(isDead(byId(arnOf(target.DeadLetterConfig.Arn))!)).toBe(true);
    expect(target.RetryPolicy).toEqual({ MaximumEventAgeInSeconds: 3600, MaximumRetryAttempts: 20 });
    expect(Properties['State'] ?? 'ENABLED').toBe('ENABLED');
  });

  it('sends what the function reads', () => {
    const target = (name: string) => schedules.find(({ Properties }) => Properties['Name'] === name)!.Properties['Target'];
    expect(JSON.parse(target('sync-qualys-prod').Input)).toEqual({
      connector: 'qualys-prod', start: 'scheduled', request: '<aws.scheduler.execution-id>',
    });
    expect(byId(arnOf(target('sync-qualys-prod').Arn)!)?.Properties['QueueName']).toBe('vulnrelay-sync-qualys');
    expect(JSON.parse(target('sync-intel').Input)).toEqual({ start: 'scheduled' });
    expect(arnOf(target('sla').Arn)).toBe(functionOf(functions, 'sla').id);
  });
});

describe('least privilege', () => {
  const statements = [...resources(functions, 'AWS::IAM::Policy'), ...resources(stateful, 'AWS::IAM::Policy')]
    .flatMap((policy) => (policy.Properties['PolicyDocument'].Statement as Statement[]).map((statement) => ({ policy: policy.id, ...statement })));

  it('knows no wildcard action', () => {
    expect(statements.flatMap(({ Action }) => list(Action)).filter((action) => action.includes('*'))).toEqual([]);
  });

  it('knows no wildcard resource but for traces', () => {
    const wide = statements.filter(({ Resource }) => list<any>(Resource as any).some((resource) => JSON.stringify(resource).includes('*')));
    const actions = new Set(wide.flatMap(({ Action }) => list(Action)));
    expect([...actions].sort()).toEqual(['xray:PutTelemetryRecords', 'xray:PutTraceSegments']);
  });

  it('lets no function administer anything', () => {
    const services = new Set(lambdas.flatMap((lambda) => statementsOf(functions, nameOf(lambda)).flatMap(({ Action }) => list(Action))));
    expect([...services].sort()).toEqual([
      'dynamodb:BatchGetItem', 'dynamodb:BatchWriteItem', 'dynamodb:DeleteItem', 'dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:Query',
      'dynamodb:UpdateItem', 'kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:GenerateDataKeyWithoutPlaintext',
      'kms:ReEncryptFrom', 'kms:ReEncryptTo', 'logs:CreateLogStream', 'logs:PutLogEvents', 'secretsmanager:GetSecretValue',
      'sqs:ChangeMessageVisibility', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:GetQueueUrl', 'sqs:ReceiveMessage', 'sqs:SendMessage',
      'xray:PutTelemetryRecords', 'xray:PutTraceSegments',
    ]);
  });

  const written = (name: string) =>
    statementsOf(functions, name)
      .filter((statement) => list(statement.Action).includes('dynamodb:PutItem'))
      .map((statement) => statement.Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys']);

  it.each([
    ['webhook', ['D#*']],
    ['notify', ['A#*', 'U#*', 'D#*', 'B#*']],
    ['ticket', ['A#*', 'D#*', 'B#*']],
    ['sla', ['P#note']],
    ['sync-exposure', ['A#*', 'P#note']],
    ['configure', ['P#config']],
    ['sync-qualys', ['S#*', 'R#*', 'U#*']],
  ])('%s writes only its own items', (name, keys) => {
    expect(written(name)).toEqual([keys]);
  });

  it('binds every access to items to their keys, but for the pages, which show everything', () => {
    for (const lambda of lambdas) {
      for (const statement of statementsOf(functions, nameOf(lambda)).filter(({ Action }) => list(Action)[0]?.startsWith('dynamodb:'))) {
        const onIndexes = list<any>(statement.Resource as any).every((resource) => JSON.stringify(resource).includes('/index/'));
        const readsAll = nameOf(lambda) === 'dashboard' && list(statement.Action).includes('dynamodb:GetItem');
        expect(onIndexes || readsAll || statement.Condition !== undefined, `${lambda.id} ${JSON.stringify(statement)}`).toBe(true);
      }
    }
  });

  it.each([
    ['sync-qualys', ['vulnrelay/qualys-prod-??????']],
    ['sync-tenable', ['vulnrelay/tenable-prod-??????']],
    ['notify', ['vulnrelay/chat-??????']],
    ['ticket', ['vulnrelay/jira-??????']],
    ['webhook', ['vulnrelay/scan-finished-??????']],
    ['dashboard', ['vulnrelay/dashboard-??????']],
    ['score', []],
    ['sla', []],
    ['sync-intel', []],
    ['sync-exposure', []],
    ['configure', []],
  ])('%s reads only its own secrets', (name, secrets) => {
    const read = statementsOf(functions, name)
      .filter(({ Action }) => list(Action).includes('secretsmanager:GetSecretValue'))
      .flatMap(({ Resource }) => list<any>(Resource as any))
      .map((arn) => JSON.stringify(arn).match(/:secret:([^"]*)"/)?.[1]);
    expect(read).toEqual(secrets);
  });

  it('uses the key through the services only', () => {
    for (const lambda of lambdas) {
      for (const statement of statementsOf(functions, nameOf(lambda)).filter(({ Action }) => list(Action)[0]?.startsWith('kms:'))) {
        expect(JSON.stringify(statement.Condition)).toMatch(/kms:ViaService.*(dynamodb|secretsmanager)/);
      }
    }
  });
});

describe('the table', () => {
  const table = resources(stateful, 'AWS::DynamoDB::Table')[0]!;

  it('can be restored, is hard to lose, and pays by use', () => {
    expect(table.DeletionPolicy).toBe('Retain');
    expect(table.Properties).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      TimeToLiveSpecification: { AttributeName: 'expires', Enabled: true },
      SSESpecification: { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: expect.anything() },
    });
    expect(table.Properties['StreamSpecification']).toBeUndefined();
    expect(resources(stateful, 'AWS::KMS::Key')[0]!.Properties['EnableKeyRotation']).toBe(true);
  });

  it('has the indexes that the store reads', () => {
    const shape = (table.Properties['GlobalSecondaryIndexes'] as any[]).map((index) => [
      index.IndexName, ...index.KeySchema.map((key: any) => key.AttributeName), index.Projection.ProjectionType,
    ]);
    expect(shape).toEqual([
      ['by-owner', 'o', 'os', 'ALL'],
      ['top-scores', 't', 'ts', 'ALL'],
      ['timers', 'w', 'ws', 'KEYS_ONLY'],
    ]);
  });

  it('can be exchanged for a restored one in one deployment', () => {
    const restored = synthesise(WHOLE, 'table: { restored: vulnrelay-2026 }');
    for (const lambda of resources(restored.functions, 'AWS::Lambda::Function')) {
      expect(lambda.Properties['Environment'].Variables.TABLE).toBe('vulnrelay-2026');
    }
    const exported = (template: typeof stateful) => Object.values(template.toJSON()['Outputs']).map((output: any) => output.Export?.Name).sort();
    expect(exported(restored.stateful)).toEqual(expect.arrayContaining(exported(stateful)));
  });
});

describe('secrets', () => {
  it('are one for each owner, without a value', () => {
    const secrets = resources(stateful, 'AWS::SecretsManager::Secret');
    expect(secrets.map(({ Properties }) => Properties['Name']).sort()).toEqual([
      'vulnrelay/chat', 'vulnrelay/dashboard', 'vulnrelay/jira', 'vulnrelay/qualys-prod', 'vulnrelay/scan-finished', 'vulnrelay/tenable-prod',
    ]);
    for (const { Properties } of secrets) {
      expect(Properties['KmsKeyId']).toBeDefined();
      expect(Properties['SecretString'] ?? '{}').toBe('{}');
    }
  });

  it('of feeds are one, read by who pulls them, where a feed has a key', () => {
    const feeds = 'feeds:\n  nvd_key: "${NVD}"\n  vulncheck: { auth: { method: api_key, key: "${VULNCHECK}" } }\n';
    const keyed = synthesise(`${WHOLE}${feeds}`);
    expect(resources(keyed.stateful, 'AWS::SecretsManager::Secret').map(({ Properties }) => Properties['Name'])).toContain('vulnrelay/feeds');
    const read = statementsOf(keyed.functions, 'sync-intel').filter(({ Action }) => list(Action).includes('secretsmanager:GetSecretValue'));
    expect(JSON.stringify(read)).toContain('vulnrelay/feeds-??????');
    expect(() => synthesise(`${WHOLE}feeds: { nvd_key: in-clear }\n`)).toThrow(/written in clear/);
  });

  it('are not changed by a later deployment', () => {
    const later = synthesise(WHOLE.replace('4h', '6h').replace('project: SEC', 'project: OPS'), 'logs: { level: DEBUG }').stateful;
    expect(resources(later, 'AWS::SecretsManager::Secret')).toEqual(resources(stateful, 'AWS::SecretsManager::Secret'));
  });

  it('do not hold a connector in place that is to be removed', () => {
    const without = synthesise(WHOLE.replace(/ {2}- name: jira[\s\S]*?SEC\n/, '').replace('trackers:\n', ''));
    expect(JSON.stringify(without.stateful.toJSON()['Outputs'] ?? {})).toBe(JSON.stringify(stateful.toJSON()['Outputs'] ?? {}));
    expect(resources(without.stateful, 'AWS::SecretsManager::Secret').map(({ Properties }) => Properties['Name'])).not.toContain('vulnrelay/jira');
  });
});

describe('doors', () => {
  it('are two, and behind each is the function that verifies', () => {
    const routes = resources(functions, 'AWS::ApiGatewayV2::Route');
    expect(routes.map(({ Properties }) => Properties['RouteKey']).sort()).toEqual(['$default', 'POST /webhooks/{source}']);
    const permissions = resources(functions, 'AWS::Lambda::Permission');
    expect(permissions.map(({ Properties }) => arnOf(Properties['FunctionName'])).sort())
      .toEqual([functionOf(functions, 'dashboard').id, functionOf(functions, 'webhook').id].sort());
    for (const { Properties } of permissions) {
      expect(Properties['Principal']).toBe('apigateway.amazonaws.com');
      expect(Properties['SourceArn']).toBeDefined();
    }
    expect(resources(functions, 'AWS::Lambda::Url')).toEqual([]);
  });

  it('are throttled and logged, without what may hold credentials', () => {
    const { Properties } = resources(functions, 'AWS::ApiGatewayV2::Stage')[0]!;
    expect(Properties['DefaultRouteSettings']).toMatchObject({ ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 });
    expect(Properties['RouteSettings']['POST /webhooks/{source}']).toMatchObject({ ThrottlingRateLimit: 10, ThrottlingBurstLimit: 20 });
    expect(JSON.parse(Properties['AccessLogSettings'].Format)).toHaveProperty('status');
    expect(Properties['AccessLogSettings'].Format).not.toMatch(/query|authorization|cookie|header/i);
  });

  it('let in only people who were invited, with a second factor', () => {
    const pool = resources(stateful, 'AWS::Cognito::UserPool')[0]!;
    expect(pool.Properties).toMatchObject({
      AdminCreateUserConfig: { AllowAdminCreateUserOnly: true },
      MfaConfiguration: 'ON',
      EnabledMfas: ['SOFTWARE_TOKEN_MFA'],
      DeletionProtection: 'ACTIVE',
    });
    expect(resources(stateful, 'AWS::Cognito::UserPoolGroup').map(({ Properties }) => Properties['GroupName'])).toEqual(['viewer', 'analyst', 'admin']);
    const client = resources(functions, 'AWS::Cognito::UserPoolClient')[0]!;
    expect(client.Properties).toMatchObject({ GenerateSecret: false, AllowedOAuthFlows: ['code'], PreventUserExistenceErrors: 'ENABLED' });
    expect(Object.keys(functionOf(functions, 'dashboard').Properties['Environment'].Variables))
      .toEqual(expect.arrayContaining(['OIDC_ISSUER', 'OIDC_CLIENT_ID', 'PUBLIC_URL']));
  });

  it('can be those of another provider', () => {
    const other = synthesise(WHOLE, 'sign_in: { provider: { issuer: "https://id.example.com", client_id: abc, roles_claim: groups } }');
    expect(resources(other.stateful, 'AWS::Cognito::UserPool')).toEqual([]);
    expect(functionOf(other.functions, 'dashboard').Properties['Environment'].Variables)
      .toMatchObject({ OIDC_ISSUER: 'https://id.example.com', OIDC_CLIENT_ID: 'abc', OIDC_ROLES_CLAIM: 'groups' });
  });
});

describe('the network of accounts', () => {
  const of = (account: string) =>
    statementsOf(synthesise(`${WHOLE}exposure: { accounts: [{ account: "123456789012", regions: [eu-west-1]${account} }] }\n`).functions, 'sync-exposure')
      .filter(({ Action }) => list(Action).some((action) => /^(ec2|sts|elasticloadbalancing):/.test(action)));

  it('is read through the role that the configuration names, and no other', () => {
    const role = 'arn:aws:iam::123456789012:role/vulnrelay-exposure';
    expect(of(`, role_arn: "${role}"`)).toMatchObject([{ Action: 'sts:AssumeRole', Resource: role }]);
  });

  it('is only described in the account itself', () => {
    const [statement, ...others] = of('');
    expect(others).toEqual([]);
    expect(list(statement!.Action).every((action) => /:(Describe|GetManagedPrefixListEntries)/.test(action))).toBe(true);
  });

  it('is not read by anybody where no account is named', () => {
    const actions = lambdas.flatMap((lambda) => statementsOf(functions, nameOf(lambda)).flatMap(({ Action }) => list(Action)));
    expect(actions.filter((action) => /^(ec2|sts|elasticloadbalancing):/.test(action))).toEqual([]);
  });
});

describe('adding a scanner', () => {
  it('adds all of its parts, and nothing else changes', () => {
    const one = synthesise(QUALYS).functions;
    const two = synthesise(`${QUALYS}${TENABLE}`).functions;
    const types = (template: typeof one) => resources(template).map(({ Type }) => Type);
    const added = types(two);
    for (const type of types(one)) {
      added.splice(added.indexOf(type), 1);
    }
    const counted = [...new Set(added)].map((type) => [type, added.filter((other) => other === type).length]);
    expect(Object.fromEntries(counted)).toEqual({
      'AWS::Lambda::Function': 1,
      'AWS::Logs::LogGroup': 1,
      'AWS::Lambda::EventSourceMapping': 1,
      'AWS::SQS::Queue': 2,
      'AWS::SQS::QueuePolicy': 2,
      'AWS::Scheduler::Schedule': 1,
      // The function's and the schedule's.
      'AWS::IAM::Role': 2,
      'AWS::IAM::Policy': 2,
      // Errors, throttles, duration, dead letters, waiting, and the connector's lag.
      'AWS::CloudWatch::Alarm': 6,
    });
    expect(resources(one).map(({ id }) => id).filter((id) => !resources(two).some((other) => other.id === id))).toEqual([]);
    const board = JSON.stringify(resources(two, 'AWS::CloudWatch::Dashboard')[0]!.Properties);
    expect(board).toContain('tenable-prod');
  });

  it('of AWS itself brings rules instead of a schedule', () => {
    const { functions } = synthesise(`${QUALYS}${AWS}`);
    const rules = resources(functions, 'AWS::Events::Rule');
    expect(rules.map(({ Properties }) => Properties['EventPattern'])).toEqual([
      { source: ['aws.inspector2'], 'detail-type': ['Inspector2 Finding'] },
      { source: ['aws.securityhub'], 'detail-type': ['Security Hub Findings - Imported'] },
    ]);
    const named = (id: string | undefined) => resources(functions, 'AWS::SQS::Queue').find((queue) => queue.id === id)?.Properties['QueueName'];
    for (const { id, Properties } of rules) {
      expect(Properties['Targets']).toHaveLength(1);
      expect(named(arnOf(Properties['Targets'][0].Arn))).toBe('vulnrelay-sync-aws');
      expect(named(arnOf(Properties['Targets'][0].DeadLetterConfig.Arn))).toBe('vulnrelay-sync-aws-dead');
      // Both queues let this rule in, and no other.
      const policies = resources(functions, 'AWS::SQS::QueuePolicy').flatMap(({ Properties }) => Properties['PolicyDocument'].Statement as Statement[]);
      const let_in = policies.filter(({ Effect, Condition }) => Effect === 'Allow' && arnOf(Condition?.['ArnEquals']?.['aws:SourceArn']) === id);
      expect(let_in.map(({ Action }) => list(Action).includes('sqs:SendMessage'))).toEqual([true, true]);
    }
    expect(resources(functions, 'AWS::Scheduler::Schedule').map(({ Properties }) => Properties['Name'])).not.toContain('sync-aws-org');
    expect(functionOf(functions, 'sync-aws')).toBeDefined();
    // It logs in nowhere.
    expect(statementsOf(functions, 'sync-aws').flatMap(({ Action }) => list(Action))).not.toContain('secretsmanager:GetSecretValue');
    expect(JSON.stringify(synthesise(`${QUALYS}${AWS}`).stateful.toJSON())).not.toContain('vulnrelay/aws-org');
  });

  it('does not deploy scanners without a connector', () => {
    const names = resources(synthesise(QUALYS).functions, 'AWS::Lambda::Function').map(nameOf);
    expect(names).toContain('sync-qualys');
    expect(names).not.toContain('sync-tenable');
  });
});

describe('settings', () => {
  it('attach a console’s function to its network, and only that', () => {
    const attached = synthesise(WHOLE, `networks: { dc: { subnet_ids: [subnet-1, subnet-2], security_group_ids: [sg-1] } }
connectors: { qualys-prod: { network: dc } }`).functions;
    const inside = resources(attached, 'AWS::Lambda::Function').filter(({ Properties }) => Properties['VpcConfig']);
    expect(inside.map(nameOf)).toEqual(['sync-qualys']);
    expect(inside[0]!.Properties['VpcConfig']).toEqual({ SubnetIds: ['subnet-1', 'subnet-2'], SecurityGroupIds: ['sg-1'] });
    const actions = statementsOf(attached, 'sync-qualys').flatMap(({ Action }) => list(Action));
    expect(actions).toEqual(expect.arrayContaining(['ec2:CreateNetworkInterface', 'ec2:DeleteNetworkInterface']));
    expect(statementsOf(attached, 'sync-tenable').flatMap(({ Action }) => list(Action)).filter((action) => action.startsWith('ec2:'))).toEqual([]);
  });

  it('choose the architecture, what is kept, what is spent, and who is told', () => {
    const other = synthesise(WHOLE, `architecture: x86_64
logs: { retention_days: 90 }
budget: { monthly_usd: 12 }
alarms: { emails: [soc@example.com] }
table: { deletion_protection: false, max_write_units: 4000 }`);
    expect(functionOf(other.functions, 'score').Properties['Architectures']).toEqual(['x86_64']);
    expect(new Set(resources(other.functions, 'AWS::Logs::LogGroup').map(({ Properties }) => Properties['RetentionInDays']))).toEqual(new Set([90]));
    expect(resources(other.functions, 'AWS::Budgets::Budget')[0]!.Properties['Budget'].BudgetLimit).toEqual({ Amount: 12, Unit: 'USD' });
    expect(resources(other.functions, 'AWS::SNS::Subscription')[0]!.Properties).toMatchObject({ Protocol: 'email', Endpoint: 'soc@example.com' });
    expect(resources(other.stateful, 'AWS::DynamoDB::Table')[0]!.Properties).toMatchObject({
      DeletionProtectionEnabled: false, OnDemandThroughput: { MaxWriteRequestUnits: 4000 },
    });
    expect(resources(synthesise(WHOLE, 'budget: { monthly_usd: 0 }').functions, 'AWS::Budgets::Budget')).toEqual([]);
  });

  it('announce every alarm with its remedy', () => {
    for (const { Properties } of alarms) {
      expect(Properties['AlarmActions']).toHaveLength(1);
      expect(Properties['AlarmDescription']).toMatch(/README: .*\)\.$/);
    }
    const topic = resources(functions, 'AWS::SNS::Topic')[0]!;
    expect(topic.Properties['KmsMasterKeyId']).toBeDefined();
  });
});

describe('packages', () => {
  it('have to be there', () => {
    const context = { config: file('connectors.yaml', WHOLE), deployment: file('deployment.yaml', '{}'), binaries: '/nowhere' };
    expect(complaint(() => createApp({ context }))).toBe(
      '/nowhere/configure/bootstrap.zip does not exist: build it with infra/build.sh configure, or leave out -c binaries=DIR');
  });

  it('have to be small', () => {
    const context = { config: file('connectors.yaml', WHOLE), deployment: file('deployment.yaml', '{}'), binaries: stubBinaries(50 * 1024 * 1024 + 1) };
    expect(complaint(() => createApp({ context }))).toMatch(/has 52428801 bytes, Lambda takes 52428800/);
  });
});

describe('the templates', () => {
  const plain = (template: typeof stateful) => JSON.parse(JSON.stringify(template.toJSON()).replace(/[a-f0-9]{64}(?=\.(?:zip|json))/g, 'HASH')) as unknown;

  it('are those that were looked at', () => {
    expect(plain(stateful)).toMatchSnapshot('stateful');
    expect(plain(functions)).toMatchSnapshot('functions');
  });
});
