import { ArnFormat, Stack } from 'aws-cdk-lib';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { Account } from './connectors.ts';
import { ITEMS, type Item, type TableAccess } from './functions.ts';

const READ = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'];
/** A transaction asks for the permission of each of its parts. */
const WRITE = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:BatchWriteItem'];

/** The statements that give a function exactly this access, by the beginning of the partition keys. */
export function tableStatements(table: ITable, access: TableAccess): PolicyStatement[] {
  const statement = (actions: string[], items: readonly Item[] | 'all') =>
    new PolicyStatement({
      actions,
      resources: [table.tableArn],
      ...(items === 'all' ? {} : { conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': items.map((item) => ITEMS[item]) } } }),
    });
  const statements = [statement(READ, access.read)];
  if (access.write) {
    statements.push(statement(WRITE, access.write));
  }
  if (access.delete) {
    statements.push(statement(['dynamodb:DeleteItem'], access.delete));
  }
  if (access.indexes) {
    const resources = access.indexes.map((index) => `${table.tableArn}/index/${index}`);
    statements.push(new PolicyStatement({ actions: ['dynamodb:Query'], resources }));
  }
  return statements;
}

/** The use of the table's key, through DynamoDB only. */
export function tableKeyStatement(scope: Construct, key: IKey, writes: boolean): PolicyStatement {
  const read = ['kms:Decrypt', 'kms:DescribeKey'];
  const write = ['kms:Encrypt', 'kms:GenerateDataKey', 'kms:GenerateDataKeyWithoutPlaintext', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'];
  return new PolicyStatement({
    actions: writes ? [...read, ...write] : read,
    resources: [key.keyArn],
    conditions: { StringEquals: { 'kms:ViaService': `dynamodb.${Stack.of(scope).region}.amazonaws.com` } },
  });
}

/** Calls that describe a network. None of them can be restricted to a resource. */
const DESCRIBE = [
  'ec2:DescribeInstances', 'ec2:DescribeNetworkInterfaces', 'ec2:DescribeSecurityGroups', 'ec2:GetManagedPrefixListEntries',
  'elasticloadbalancing:DescribeListeners', 'elasticloadbalancing:DescribeLoadBalancers',
  'elasticloadbalancing:DescribeTargetGroups', 'elasticloadbalancing:DescribeTargetHealth',
];

/** Describing the network of these accounts: through a role, or, without one, in the function's own account. */
export function accountStatements(accounts: readonly Account[]): PolicyStatement[] {
  const roles = accounts.flatMap(({ role }) => role ?? []);
  return [
    ...(roles.length > 0 ? [new PolicyStatement({ actions: ['sts:AssumeRole'], resources: roles })] : []),
    ...(accounts.some(({ role }) => role === undefined) ? [new PolicyStatement({ actions: DESCRIBE, resources: ['*'] })] : []),
  ];
}

/** Reading secrets by name, with their key. */
export function secretStatements(scope: Construct, key: IKey, names: readonly string[]): PolicyStatement[] {
  if (names.length === 0) {
    return [];
  }
  const stack = Stack.of(scope);
  return [
    new PolicyStatement({
      actions: ['secretsmanager:GetSecretValue'],
      // Secrets Manager adds a dash and six characters to the name. By name and not by reference, so that a connector
      // can be removed: a reference from the other stack would hold its secret in place.
      resources: names.map((name) =>
        stack.formatArn({
          service: 'secretsmanager',
          resource: 'secret',
          resourceName: `${name}-??????`,
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        })),
    }),
    new PolicyStatement({
      actions: ['kms:Decrypt'],
      resources: [key.keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `secretsmanager.${stack.region}.amazonaws.com` } },
    }),
  ];
}
