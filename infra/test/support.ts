import { mkdirSync, mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Template } from 'aws-cdk-lib/assertions';
import { createApp } from '../lib/app.ts';
import { configOf, type Config } from '../lib/connectors.ts';
import { DocumentError, YamlDocument } from '../lib/document.ts';
import { FUNCTIONS, SCANNERS } from '../lib/functions.ts';

/** A folder in which each binary has a package. What is in it is no concern of these tests. */
export function stubBinaries(size = 10): string {
  const folder = mkdtempSync(join(tmpdir(), 'vulnrelay-binaries-'));
  for (const name of [...FUNCTIONS.map((row) => row.name), ...SCANNERS.map((row) => `sync-${row.type}`)]) {
    mkdirSync(join(folder, name));
    const zip = join(folder, name, 'bootstrap.zip');
    writeFileSync(zip, '');
    truncateSync(zip, size); // takes no room, however large
  }
  return folder;
}

export const QUALYS = `
connectors:
  - name: qualys-prod
    type: qualys
    base_url: https://qualysapi.qualys.com
    auth: { method: basic, username: "\${QUALYS_USER}", password: "\${QUALYS_PASS}" }
    sync_interval: 4h
`;

export const TENABLE = `
  - name: tenable-prod
    type: tenable
    base_url: https://cloud.tenable.com
    auth: { method: api_keys, access_key: "\${A}", secret_key: "\${S}" }
`;

export const AWS = `
  - name: aws-org
    type: aws
`;

/** One of everything. */
export const WHOLE = `${QUALYS}${TENABLE}
channels:
  - name: chat
    type: slack
    webhook_url: "\${HOOK}"
trackers:
  - name: jira
    type: jira
    base_url: https://example.atlassian.net
    auth: { method: basic, username: "\${JIRA_EMAIL}", password: "\${JIRA_TOKEN}" }
    project: SEC
webhooks:
  - name: scan-finished
    connector: tenable-prod
    secrets: ["\${PUSH}"]
`;

export interface Synthesised {
  readonly stateful: Template;
  readonly functions: Template;
}

const written = new Map<string, string>();
const made = new Map<string, Synthesised>();
const binaries = stubBinaries();

/** Both templates for a connectors.yaml and a deployment.yaml. */
export function synthesise(connectors: string, deployment = '{}'): Synthesised {
  const key = `${connectors}\n---\n${deployment}`;
  const known = made.get(key);
  if (known) {
    return known;
  }
  const context = { config: file('connectors.yaml', connectors), deployment: file('deployment.yaml', deployment), binaries };
  const { stateful, functions } = createApp({ context });
  const synthesised = { stateful: Template.fromStack(stateful), functions: Template.fromStack(functions) };
  made.set(key, synthesised);
  return synthesised;
}

/** A file with this content. */
export function file(name: string, content: string): string {
  const key = `${name}\n${content}`;
  const known = written.get(key);
  if (known) {
    return known;
  }
  const path = join(mkdtempSync(join(tmpdir(), 'vulnrelay-')), name);
  writeFileSync(path, content);
  written.set(key, path);
  return path;
}

/** A configuration as the deployment sees it. */
export function config(text: string): Config {
  return configOf(YamlDocument.parse('connectors.yaml', text));
}

/** What is said about a document that cannot be used. */
export function complaint(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof DocumentError) {
      return error.message;
    }
    throw error;
  }
  return 'nothing';
}

/** A resource of a template. */
export interface Resource {
  readonly id: string;
  readonly Type: string;
  readonly Properties: Record<string, any>;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: string;
}

/** The resources of a type. */
export function resources(template: Template, type?: string): Resource[] {
  const all = template.toJSON()['Resources'] as Record<string, Omit<Resource, 'id'>>;
  return Object.entries(all)
    .map(([id, resource]) => ({ id, ...resource }))
    .filter((resource) => type === undefined || resource.Type === type);
}

export interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: Record<string, any>;
}

/** What a function's role may do. */
export function statementsOf(template: Template, name: string): Statement[] {
  const role = functionOf(template, name).Properties['Role']['Fn::GetAtt'][0] as string;
  return resources(template, 'AWS::IAM::Policy')
    .filter((policy) => (policy.Properties['Roles'] as { Ref: string }[]).some(({ Ref }) => Ref === role))
    .flatMap((policy) => policy.Properties['PolicyDocument'].Statement as Statement[]);
}

/** A function by its name in the deployment. */
export function functionOf(template: Template, name: string): Resource {
  const found = resources(template, 'AWS::Lambda::Function').find((one) => one.Properties['FunctionName'] === `vulnrelay-${name}`);
  if (!found) {
    throw new Error(`no function ${name}`);
  }
  return found;
}

/** One or several as a list. */
export function list<T>(value: T | T[]): T[] {
  return Array.isArray(value) ? value : [value];
}
