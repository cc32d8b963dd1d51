import { describe, expect, it } from 'vitest';
import { SCANNERS, SCHEMA } from '../lib/functions.ts';
import { DEFAULTS, networkOf, readSettings, settingsOf, withArchitecture } from '../lib/settings.ts';
import { readConfig } from '../lib/connectors.ts';
import { YamlDocument } from '../lib/document.ts';
import { complaint, config, QUALYS, TENABLE, WHOLE } from './support.ts';

const settings = (text: string, connectors = WHOLE) => settingsOf(YamlDocument.parse('deployment.yaml', text), config(connectors));
const changed = (from: string, to: string) => {
  expect(WHOLE).toContain(from);
  return complaint(() => config(WHOLE.replace(from, to)));
};

describe('connectors.yaml', () => {
  it('is read as the deployment needs it', () => {
    const read = config(WHOLE);
    expect(read.connectors).toEqual([
      { name: 'qualys-prod', secret: true, type: 'qualys', syncInterval: 14_400 },
      { name: 'tenable-prod', secret: true, type: 'tenable', syncInterval: 3_600 },
    ]);
    expect(read.webhooks).toEqual([{ name: 'scan-finished', secret: true, connector: 'tenable-prod' }]);
    expect(read.feedsInterval).toBe(21_600);
    expect(read.document.text).toBe(WHOLE);
  });

  it('ships an example that can be used', () => {
    expect(readConfig(new URL('../connectors.example.yaml', import.meta.url).pathname).connectors).toHaveLength(2);
  });

  it('may be missing, and then the remedy is told', () => {
    expect(complaint(() => readConfig('/nowhere/connectors.yaml'))).toMatch(/connectors.yaml does not exist: copy connectors.example.yaml/);
  });

  it.each([
    ['an unknown field', 'sync_interval: 4h', 'sync_intervall: 4h', /^connectors.yaml:7:5: connectors\[0\].sync_intervall: there is no such field: use one of .*auth, base_url, close_limit_percent/],
    ['an unknown scanner', 'type: qualys', 'type: nexpose', /^connectors.yaml:4:11: connectors\[0\].type: use one of .*qualys/],
    ['an unknown way to log in', 'method: basic, username: "${Q', 'method: token, username: "${Q', /^connectors.yaml:6:21: connectors\[0\].auth.method: use one of none, basic, api_keys, api_key/],
    ['a field of another way to log in', 'secret_key: "${S}"', 'password: "${S}"', /^connectors.yaml:12:11: connectors\[1\].auth: secret_key is missing: add it\nconnectors.yaml:12:\d+: connectors\[1\].auth.password: there is no such field: use one of access_key, method, secret_key/],
    ['a wrong type', 'sync_interval: 4h', 'page_size: many', /^connectors.yaml:7:16: connectors\[0\].page_size: this must be a whole number/],
    ['a missing field', '    project: SEC\n', '', /^connectors.yaml:19:5: trackers\[0\]: project is missing: add it/],
    ['a name with blanks', 'name: chat', 'name: my chat', /^connectors.yaml:15:11: channels\[0\].name: this is not as described: 1 to 40 lower-case letters/],
    ['a name that is taken', 'name: jira', 'name: chat', /^connectors.yaml:19:11: trackers\[0\].name: chat is already the name of channels\[0\]: choose another/],
    ['the name of the dashboard’s secret', 'name: jira', 'name: dashboard', /trackers\[0\].name: dashboard is the name of the dashboard's own secret/],
    ['a push for nobody', 'connector: tenable-prod', 'connector: nessus', /^connectors.yaml:26:16: webhooks\[0\].connector: there is no connector nessus: name one of connectors/],
    ['a length of time without a unit', 'sync_interval: 4h', 'sync_interval: "4"', /^connectors.yaml:7:20: connectors\[0\].sync_interval: this is not as described: A length of time/],
    ['a schedule that AWS does not have', 'sync_interval: 4h', 'sync_interval: 90s', /connectors\[0\].sync_interval: a schedule on AWS counts whole minutes: write 2m/],
    ['an address with a password', 'https://qualysapi', 'https://u:hunter2@qualysapi', /connectors\[0\].base_url: an address must not hold user and password/],
  ])('refuses %s with its place and the remedy', (_, from, to, expected) => {
    expect(changed(from, to)).toMatch(expected);
  });

  it.each([
    ['"${QUALYS_PASS}"', 'connectors[0].auth.password'],
    ['"${S}"', 'connectors[1].auth.secret_key'],
    ['"${HOOK}"', 'channels[0].webhook_url'],
    ['"${PUSH}"', 'webhooks[0].secrets[0]'],
  ])('refuses a secret in clear in place of %s and does not repeat it', (name, field) => {
    const said = changed(name, 'hunter2');
    expect(said).toContain(`${field}: a secret is written in clear`);
    expect(said).not.toContain('hunter2');
  });

  it('names the place of broken YAML', () => {
    expect(complaint(() => config('connectors:\n  - name: "a\n'))).toMatch(/^connectors.yaml:\d+:\d+: not valid YAML/);
    expect(complaint(() => config('channels: []\nchannels: []\n'))).toMatch(/^connectors.yaml:2:1: not valid YAML: Map keys must be unique/);
  });

  it('tells everything that is wrong at once', () => {
    const said = complaint(() => config(WHOLE.replace('name: chat', 'name: A').replace('sync_interval: 4h', 'x: 1')));
    expect(said.split('\n')).toHaveLength(2);
  });

  it('has a function for every scanner that the schema allows', () => {
    const { $defs } = SCHEMA as unknown as { $defs: { Scanner: { enum: string[] } } };
    expect(SCANNERS.map((row) => row.type)).toEqual($defs.Scanner.enum);
  });
});

describe('deployment.yaml', () => {
  it('need not exist', () => {
    expect(readSettings('/nowhere/deployment.yaml', false, config(WHOLE))).toEqual(DEFAULTS);
    expect(complaint(() => readSettings('/nowhere/deployment.yaml', true, config(WHOLE)))).toContain('does not exist');
  });

  it('changes single settings', () => {
    const read = settings('logs: { retention_days: 90 }\nbudget: { monthly_usd: 10 }');
    expect(read).toEqual({ ...DEFAULTS, logs: { retention_days: 90, level: 'INFO' }, budget: { monthly_usd: 10 } });
  });

  it.each([
    ['logs: { retention_days: 31 }', /^deployment.yaml:1:25: logs.retention_days: use one of 1, 3, 5/],
    ['log: {}', /^deployment.yaml:1:1: log: there is no such field: use one of name, architecture, logs/],
    ['architecture: arm', /^deployment.yaml:1:15: architecture: use one of arm64, x86_64/],
    ['alarms: { emails: [nobody] }', /alarms.emails\[0\]: this is not as described: an e-mail address/],
    ['name: Prod', /^deployment.yaml:1:7: name: this is not as described: 2 to 20 lower-case/],
    ['api: { rate: 0 }', /^deployment.yaml:1:14: api.rate: must be >= 1/],
    ['connectors: { nessus: { network: dc } }', /^deployment.yaml:1:15: connectors.nessus: there is no connector nessus in connectors.yaml/],
    ['connectors: { qualys-prod: { network: dc } }', /connectors.qualys-prod.network: there is no network dc: add it to networks/],
  ])('refuses %s with its place and the remedy', (text, expected) => {
    expect(complaint(() => settings(text))).toMatch(expected);
  });

  it('attaches the function of a scanner to the network of its connectors', () => {
    const text = 'networks: { dc: { subnet_ids: [subnet-1], security_group_ids: [sg-1] } }\nconnectors: { qualys-prod: { network: dc } }';
    const read = settings(text);
    expect(networkOf('qualys', read, config(WHOLE))).toEqual({ subnet_ids: ['subnet-1'], security_group_ids: ['sg-1'] });
    expect(networkOf('tenable', read, config(WHOLE))).toBeUndefined();
  });

  it('refuses two networks for one function', () => {
    const two = `${QUALYS}${TENABLE}${TENABLE.replace('tenable-prod', 'tenable-test')}`;
    const text = 'networks: { dc: { subnet_ids: [subnet-1], security_group_ids: [sg-1] } }\nconnectors: { tenable-prod: { network: dc } }';
    expect(complaint(() => settings(text, two))).toMatch(/tenable-test is of the same type and runs in the same function/);
  });

  it('takes the architecture from the command line', () => {
    expect(withArchitecture(DEFAULTS, 'x86_64').architecture).toBe('x86_64');
    expect(withArchitecture(DEFAULTS, undefined).architecture).toBe('arm64');
    expect(complaint(() => withArchitecture(DEFAULTS, 'sparc'))).toBe('-c arch=sparc: use arm64 or x86_64');
  });
});
