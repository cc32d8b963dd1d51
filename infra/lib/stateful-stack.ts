import { Duration, RemovalPolicy, SecretValue, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import {
  AccountRecovery, CfnUserPoolGroup, FeaturePlan, Mfa, StandardThreatProtectionMode, UserPool,
} from 'aws-cdk-lib/aws-cognito';
import { AttributeType, BillingMode, ProjectionType, Table, TableEncryption, type ITable } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { DASHBOARD_SECRET, owners, type Config } from './connectors.ts';
import type { Settings } from './settings.ts';

/** Who may do what on the pages. */
const GROUPS = [
  { name: 'viewer', description: 'Sees everything' },
  { name: 'analyst', description: 'Decides on vulnerabilities, approves runs' },
  { name: 'admin', description: 'Changes policies and configuration' },
];

/** The sparse indexes, as `shared/store/src/schema.rs` has them. */
const INDEXES = [
  { name: 'by-owner', partition: 'o', sort: 'os', projection: ProjectionType.ALL },
  { name: 'top-scores', partition: 't', sort: 'ts', projection: ProjectionType.ALL },
  // Timers only point to what is due.
  { name: 'timers', partition: 'w', sort: 'ws', projection: ProjectionType.KEYS_ONLY },
];

export interface StatefulStackProps extends StackProps {
  readonly config: Config;
  readonly settings: Settings;
}

/** What has state: the table, its key, the secrets, the people who may sign in. */
export class StatefulStack extends Stack {
  readonly key: Key;
  /** The table to use. */
  readonly table: ITable;
  /** Beginning of the names of secrets. */
  readonly secretPrefix: string;
  /** Who may sign in, unless another provider knows them. */
  readonly people?: UserPool;

  constructor(scope: Construct, id: string, { config, settings, ...props }: StatefulStackProps) {
    super(scope, id, { ...props, terminationProtection: settings.table.deletion_protection });
    this.secretPrefix = `${settings.name}/`;
    this.key = this.#key(settings);
    const table = this.#table(settings);
    if (settings.table.restored === undefined) {
      this.table = table;
    } else {
      // The functions still use the table of this stack when this stack is deployed: what they refer to has to stay.
      this.exportValue(table.tableArn);
      this.exportValue(table.tableName);
      this.table = Table.fromTableAttributes(this, 'RestoredTable', { tableName: settings.table.restored, encryptionKey: this.key });
    }
    for (const owner of secretOwners(config)) {
      this.#secret(owner);
    }
    this.#dashboardSecret();
    if (!settings.sign_in.provider) {
      this.people = this.#people(settings);
    }
  }

  #key(settings: Settings): Key {
    const key = new Key(this, 'Key', {
      alias: `${settings.name}/data`,
      description: `Encrypts the table, the secrets and the alarms of ${settings.name}`,
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
      pendingWindow: Duration.days(30),
    });
    // Alarms and the budget are announced through an encrypted topic.
    key.addToResourcePolicy(new PolicyStatement({
      sid: 'AlarmsAndBudgets',
      principals: [new ServicePrincipal('cloudwatch.amazonaws.com'), new ServicePrincipal('budgets.amazonaws.com')],
      actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
      // A key's policy speaks of this key only.
      resources: ['*'],
      conditions: { StringEquals: { 'aws:SourceAccount': this.account } },
    }));
    return key;
  }

  #table(settings: Settings): Table {
    const { deletion_protection, max_read_units, max_write_units } = settings.table;
    const table = new Table(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      ...(max_read_units === undefined ? {} : { maxReadRequestUnits: max_read_units }),
      ...(max_write_units === undefined ? {} : { maxWriteRequestUnits: max_write_units }),
      encryption: TableEncryption.CUSTOMER_MANAGED,
      encryptionKey: this.key,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      timeToLiveAttribute: 'expires',
      deletionProtection: deletion_protection,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    for (const { name, partition, sort, projection } of INDEXES) {
      table.addGlobalSecondaryIndex({
        indexName: name,
        partitionKey: { name: partition, type: AttributeType.STRING },
        sortKey: { name: sort, type: AttributeType.STRING },
        projectionType: projection,
      });
    }
    return table;
  }

  /** Created empty; a value that was put into it stays, because the template never changes. */
  #secret(owner: string): void {
    const secret = new Secret(this, `Secret-${owner}`, {
      secretName: `${this.secretPrefix}${owner}`,
      description: `Credentials of ${owner}: a JSON object with the names that connectors.yaml uses`,
      encryptionKey: this.key,
      secretStringValue: SecretValue.unsafePlainText('{}'),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions::AwsSolutions-SMG4',
      reason: 'The other system issues these credentials; README "Rotating credentials" says how they are changed without a gap.',
    });
  }

  /** A token for programs and for the first sign-in, made by Secrets Manager, so that it is nowhere else. */
  #dashboardSecret(): void {
    const secret = new Secret(this, 'Secret-dashboard', {
      secretName: `${this.secretPrefix}${DASHBOARD_SECRET}`,
      description: 'TOKEN opens the dashboard for programs',
      encryptionKey: this.key,
      generateSecretString: { secretStringTemplate: '{}', generateStringKey: 'TOKEN', passwordLength: 48, excludePunctuation: true },
      removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions::AwsSolutions-SMG4',
      reason: 'Whoever uses the token has to learn the new one, so a person rotates it; README "Rotating credentials".',
    });
  }

  #people(settings: Settings): UserPool {
    const { mfa, threat_protection, domain_prefix } = settings.sign_in;
    const pool = new UserPool(this, 'People', {
      userPoolName: settings.name,
      selfSignUpEnabled: false,
      signInAliases: { email: true },
      signInCaseSensitive: false,
      standardAttributes: { email: { required: true, mutable: true } },
      accountRecovery: AccountRecovery.EMAIL_ONLY,
      mfa: mfa === 'required' ? Mfa.REQUIRED : Mfa.OPTIONAL,
      mfaSecondFactor: { otp: true, sms: false },
      passwordPolicy: {
        minLength: 14,
        requireLowercase: true,
        requireUppercase: true,
        requireDigits: true,
        requireSymbols: true,
        tempPasswordValidity: Duration.days(3),
      },
      featurePlan: threat_protection ? FeaturePlan.PLUS : FeaturePlan.ESSENTIALS,
      ...(threat_protection ? { standardThreatProtectionMode: StandardThreatProtectionMode.FULL_FUNCTION } : {}),
      deletionProtection: settings.table.deletion_protection,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    if (!threat_protection) {
      for (const rule of ['COG3', 'COG8']) {
        Validations.of(pool).acknowledge({
          id: `AwsSolutions::AwsSolutions-${rule}`,
          reason: 'Threat protection is priced per user, so it is a setting (sign_in.threat_protection); a second factor is required anyway.',
        });
      }
    }
    if (mfa === 'optional') {
      Validations.of(pool).acknowledge({
        id: 'AwsSolutions::AwsSolutions-COG2',
        reason: 'The deployment settings ask for an optional second factor.',
      });
    }
    for (const { name, description } of GROUPS) {
      new CfnUserPoolGroup(this, `Group-${name}`, { userPoolId: pool.userPoolId, groupName: name, description });
    }
    const prefix = domain_prefix ?? `${settings.name}-${this.account}`;
    pool.addDomain('SignIn', { cognitoDomain: { domainPrefix: prefix } });
    return pool;
  }
}

/** Everything that has a secret, once each. */
export function secretOwners(config: Config): string[] {
  const { connectors, channels, trackers, webhooks, feedsSecret } = config;
  return [...new Set(owners([connectors, channels, trackers, webhooks, feedsSecret].flat()))];
}
