import { existsSync } from 'node:fs';
import type { Config } from './connectors.ts';
import { DocumentError, YamlDocument, type Problem } from './document.ts';

/** How this deployment is to be. Every setting has a default; `deployment.yaml` changes some. */
export interface Settings {
  /** Prefix of every name; two deployments of one account need two. */
  readonly name: string;
  readonly architecture: 'arm64' | 'x86_64';
  readonly logs: {
    /** Days that the functions' and the API's logs are kept. */
    readonly retention_days: number;
    readonly level: 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  };
  readonly budget: {
    /** Of this deployment's resources, in US dollars a month; 0 creates no budget. */
    readonly monthly_usd: number;
  };
  /** Who is told of alarms and of the budget; each address confirms once. */
  readonly alarms: { readonly emails: readonly string[] };
  readonly table: {
    readonly deletion_protection: boolean;
    /** Use this table instead: one that was restored from a backup. */
    readonly restored?: string;
    /** Upper bounds for what a day may cost. */
    readonly max_read_units?: number;
    readonly max_write_units?: number;
  };
  readonly api: {
    /** Requests a second, of the pages and of pushes. */
    readonly rate: number;
    readonly burst: number;
    readonly webhook_rate: number;
    readonly webhook_burst: number;
    /** Address under which people reach the pages, where it is not the API's own. */
    readonly public_url?: string;
  };
  readonly sign_in: {
    readonly mfa: 'required' | 'optional';
    /** Cognito's threat protection, which costs extra for each user. */
    readonly threat_protection: boolean;
    /** Beginning of the address of the sign-in page: unique in a region. */
    readonly domain_prefix?: string;
    /** Another OpenID Connect provider instead of a user pool. */
    readonly provider?: { readonly issuer: string; readonly client_id: string; readonly roles_claim?: string };
  };
  /** Networks that functions can be attached to. */
  readonly networks: Readonly<Record<string, Network>>;
  /** The network of a connector whose console is not on the internet. */
  readonly connectors: Readonly<Record<string, { readonly network: string }>>;
}

/** Subnets with a way to the console and to AWS. */
export interface Network {
  readonly subnet_ids: readonly string[];
  readonly security_group_ids: readonly string[];
}

/** What applies where nothing is said. */
export const DEFAULTS: Settings = {
  name: 'vulnrelay',
  architecture: 'arm64',
  logs: { retention_days: 30, level: 'INFO' },
  budget: { monthly_usd: 50 },
  alarms: { emails: [] },
  table: { deletion_protection: true },
  api: { rate: 50, burst: 100, webhook_rate: 10, webhook_burst: 20 },
  sign_in: { mfa: 'required', threat_protection: false },
  networks: {},
  connectors: {},
};

const RETENTION_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
const PER_SECOND = { type: 'integer', minimum: 1, maximum: 10_000 };
const EMAIL = { type: 'string', description: 'an e-mail address', pattern: '^[^@\\s]+@[^@\\s]+$' };
const HTTPS = { type: 'string', description: 'https://host, without a slash at the end', pattern: '^https://[^\\s]*[^/\\s]$' };

function fields(properties: Record<string, object>, required: string[] = []): object {
  return { type: 'object', additionalProperties: false, properties, required };
}

const SCHEMA = fields({
  name: { type: 'string', description: '2 to 20 lower-case letters, digits and dashes, a letter first', pattern: '^[a-z][a-z0-9-]{0,18}[a-z0-9]$' },
  architecture: { enum: ['arm64', 'x86_64'] },
  logs: fields({ retention_days: { enum: RETENTION_DAYS }, level: { enum: ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'] } }),
  budget: fields({ monthly_usd: { type: 'number', minimum: 0 } }),
  alarms: fields({ emails: { type: 'array', items: EMAIL } }),
  table: fields({
    deletion_protection: { type: 'boolean' },
    restored: { type: 'string', description: 'the name of a table', pattern: '^[a-zA-Z0-9_.-]{3,255}$' },
    max_read_units: { type: 'integer', minimum: 1 },
    max_write_units: { type: 'integer', minimum: 1 },
  }),
  api: fields({ rate: PER_SECOND, burst: PER_SECOND, webhook_rate: PER_SECOND, webhook_burst: PER_SECOND, public_url: HTTPS }),
  sign_in: fields({
    mfa: { enum: ['required', 'optional'] },
    threat_protection: { type: 'boolean' },
    domain_prefix: { type: 'string', description: 'lower-case letters, digits and dashes', pattern: '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' },
    provider: fields({
      issuer: HTTPS,
      client_id: { type: 'string', minLength: 1 },
      roles_claim: { type: 'string', minLength: 1 },
    }, ['issuer', 'client_id']),
  }),
  networks: {
    type: 'object',
    additionalProperties: fields({
      subnet_ids: { type: 'array', minItems: 1, items: { type: 'string', description: 'a subnet id', pattern: '^subnet-[0-9a-f]+$' } },
      security_group_ids: { type: 'array', minItems: 1, items: { type: 'string', description: 'a security group id', pattern: '^sg-[0-9a-f]+$' } },
    }, ['subnet_ids', 'security_group_ids']),
  },
  connectors: { type: 'object', additionalProperties: fields({ network: { type: 'string' } }, ['network']) },
});

/** Reads the settings file; without one, the defaults apply. A file that was asked for by name has to be there. */
export function readSettings(path: string, named: boolean, config: Config): Settings {
  if (!named && !existsSync(path)) {
    return DEFAULTS;
  }
  return settingsOf(YamlDocument.read(path, 'name a file of settings with -c deployment=FILE, or leave it out'), config);
}

/** The same from a document that was read already. */
export function settingsOf(document: YamlDocument, config: Config): Settings {
  const written = document.validate<Partial<Settings>>(SCHEMA);
  const merged = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => {
      const given = written[name as keyof Settings];
      return [name, typeof value === 'object' ? { ...value, ...(given as object | undefined) } : (given ?? value)];
    }),
  ) as unknown as Settings;
  document.refuse(networkProblems(merged, config));
  return merged;
}

/** All connectors of one scanner run in one function, so they share its network. */
function networkProblems(settings: Settings, config: Config): Problem[] {
  return Object.entries(settings.connectors).flatMap(([name, { network }]): Problem[] => {
    const connector = config.connectors.find((one) => one.name === name);
    if (!connector) {
      return [{ path: ['connectors', name], text: `there is no connector ${name} in ${config.document.name}`, atName: true }];
    }
    if (!(network in settings.networks)) {
      return [{ path: ['connectors', name, 'network'], text: `there is no network ${network}: add it to networks` }];
    }
    const other = config.connectors.find((one) => one.type === connector.type && settings.connectors[one.name]?.network !== network);
    return other
      ? [{
          path: ['connectors', name, 'network'],
          text: `${other.name} is of the same type and runs in the same function: give both the same network`,
        }]
      : [];
  });
}

/** The network of a scanner's function. */
export function networkOf(type: string, settings: Settings, config: Config): Network | undefined {
  const connector = config.connectors.find((one) => one.type === type && one.name in settings.connectors);
  const network = connector && settings.connectors[connector.name]?.network;
  return network === undefined ? undefined : settings.networks[network];
}

/** Settings with what was given on the command line (`-c arch=x86_64`). */
export function withArchitecture(settings: Settings, architecture: unknown): Settings {
  if (architecture === undefined) {
    return settings;
  }
  if (architecture !== 'arm64' && architecture !== 'x86_64') {
    throw new DocumentError(`-c arch=${String(architecture)}: use arm64 or x86_64`);
  }
  return { ...settings, architecture };
}
