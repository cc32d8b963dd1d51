import { YamlDocument, type Path, type Problem } from './document.ts';
import { SCHEMA } from './functions.ts';

/** What the deployment needs to know of connectors.yaml. The rest is for the functions. */
export interface Config {
  readonly connectors: readonly Connector[];
  readonly channels: readonly Named[];
  readonly trackers: readonly Named[];
  readonly webhooks: readonly WebhookSource[];
  /** Seconds between two pulls of the feeds. */
  readonly feedsInterval: number;
  /** Seconds between two looks at who can reach assets. */
  readonly exposureInterval: number;
  /** Accounts whose network is read. */
  readonly accounts: readonly Account[];
  /** The feeds that are wanted: those whose address is not empty, and the sources that are named. */
  readonly feeds: readonly string[];
  /** The secret of the feeds, if one of them has a key. */
  readonly feedsSecret: readonly Named[];
  /** The file as it is: the functions read this. */
  readonly document: { readonly name: string; readonly text: string };
}

/** An account of AWS; without a role, the one that is deployed to. */
export interface Account {
  readonly role: string | undefined;
}

/** Something with a name. */
export interface Named {
  readonly name: string;
  /** Whether it names a `${NAME}`, and so has a secret. */
  readonly secret: boolean;
}

/** The names of those that have a secret. */
export function owners(named: readonly Named[]): string[] {
  return named.filter(({ secret }) => secret).map(({ name }) => name);
}

/** One account of a scanner. */
export interface Connector extends Named {
  /** The kind of scanner; a row of `SCANNERS`. */
  readonly type: string;
  /** Seconds between two pulls. */
  readonly syncInterval: number;
}

/** Who may push. */
export interface WebhookSource extends Named {
  readonly connector: string;
}

interface Written {
  readonly connectors?: readonly { name: string; type: string; via?: string; sync_interval?: string }[];
  readonly channels?: readonly { name: string }[];
  readonly trackers?: readonly { name: string }[];
  readonly webhooks?: readonly { name: string; connector?: string }[];
  readonly feeds?: { readonly [name: string]: unknown; interval?: string };
  readonly exposure?: { interval?: string; accounts?: readonly { role_arn?: string | null }[] };
}

/** The public feeds, by the name of their address. */
const FEEDS = ['kev', 'epss', 'exploitdb', 'metasploit', 'nuclei', 'vulnrichment', 'nvd'];
/** Sources of threat intelligence: wanted by who names them. */
const THREAT = ['vulncheck', 'misp', 'mandiant', 'recordedfuture'];
/** Fields that hold a secret and so may only name it. */
const SECRET_FIELDS = new Set([
  'password', 'secret_key', 'access_key', 'key', 'token', 'api_key', 'api_token', 'client_secret', 'webhook_url', 'routing_key',
  'secrets', 'secret', 'private_key', 'nvd_key',
]);
const SECRET_NAME = /^\$\{[^}]+\}$/;
/** The schedule service counts whole minutes. */
const MINUTE = 60;
const HOUR = 3_600;

/** Reads and checks connectors.yaml. */
export function readConfig(path: string): Config {
  return configOf(YamlDocument.read(path, 'copy connectors.example.yaml and edit it, or name yours with -c config=FILE'));
}

/** The same from a document that was read already. */
export function configOf(document: YamlDocument): Config {
  const written = document.validate<Written>(SCHEMA);
  const connectors = written.connectors ?? [];
  document.refuse([
    ...duplicates(written),
    ...connectors.flatMap((connector, i) => [
      ...interval(connector.sync_interval, ['connectors', i, 'sync_interval']),
    ]),
    ...(written.webhooks ?? []).flatMap((source, i) =>
      source.connector === undefined || connectors.some((connector) => connector.name === source.connector)
        ? []
        : [{ path: ['webhooks', i, 'connector'], text: `there is no connector ${source.connector}: name one of connectors` }]),
    ...interval(written.feeds?.interval, ['feeds', 'interval']),
    ...interval(written.exposure?.interval, ['exposure', 'interval']),
    ...clearSecrets(written, []),
  ]);
  return {
    // Files are taken over by hand, on one machine: nothing is deployed for them.
    connectors: connectors.filter(({ via }) => via !== 'files').map((one) => ({ ...named(one), type: one.type, syncInterval: seconds(one.sync_interval) ?? HOUR })),
    channels: (written.channels ?? []).map(named),
    trackers: (written.trackers ?? []).map(named),
    webhooks: (written.webhooks ?? []).map((one) => ({ ...named(one), connector: one.connector ?? '' })),
    feedsInterval: seconds(written.feeds?.interval) ?? 6 * HOUR,
    exposureInterval: seconds(written.exposure?.interval) ?? HOUR,
    accounts: (written.exposure?.accounts ?? []).map(({ role_arn }) => ({ role: role_arn ?? undefined })),
    feeds: [
      ...FEEDS.filter((feed) => written.feeds?.[feed] !== ''),
      ...THREAT.filter((feed) => (written.feeds?.[feed] ?? null) !== null),
    ],
    feedsSecret: [named({ ...written.feeds, name: FEEDS_SECRET })].filter(({ secret }) => secret),
    document: { name: document.file, text: document.text },
  };
}

function named(written: { name: string }): Named {
  return { name: written.name, secret: /\$\{[^}]+\}/.test(JSON.stringify(written)) };
}

/** Names of connectors, channels and trackers must differ, because each names a secret; so must those of sources. */
function duplicates(written: Written): Problem[] {
  const problems: Problem[] = [];
  const look = (lists: (keyof Written)[]) => {
    const seen = new Map<string, string>();
    for (const list of lists) {
      const named = (written[list] ?? []) as readonly { name: string }[];
      named.forEach(({ name }, i) => {
        const first = seen.get(name);
        if (first) {
          problems.push({ path: [list, i, 'name'], text: `${name} is already the name of ${first}: choose another` });
        } else {
          seen.set(name, `${list}[${i}]`);
        }
        if (name === DASHBOARD_SECRET) {
          problems.push({ path: [list, i, 'name'], text: `${name} is the name of the dashboard's own secret: choose another` });
        }
        if (name === FEEDS_SECRET) {
          problems.push({ path: [list, i, 'name'], text: `${name} is the name of the secret of the feeds: choose another` });
        }
      });
    }
  };
  look(['connectors', 'channels', 'trackers']);
  look(['webhooks']);
  return problems;
}

/** The secret that the dashboard itself has. */
export const DASHBOARD_SECRET = 'dashboard';

/** The secret that holds the keys of feeds. */
const FEEDS_SECRET = 'feeds';

/** Secrets that are written in clear would end up in the template. They are not repeated in the message. */
function clearSecrets(value: unknown, path: Path): Problem[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, i) => clearSecrets(item, [...path, i]));
  }
  if (typeof value === 'string') {
    return /^https?:\/\/[^/]*@/.test(value)
      ? [{ path, text: 'an address must not hold user and password: write https://host' }]
      : [];
  }
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  return Object.entries(value).flatMap(([field, inner]) => {
    if (!SECRET_FIELDS.has(field)) {
      return clearSecrets(inner, [...path, field]);
    }
    const places: [unknown, Path][] = Array.isArray(inner)
      ? inner.map((item, i) => [item, [...path, field, i]])
      : [[inner, [...path, field]]];
    return places
      .filter(([item]) => typeof item === 'string' && !SECRET_NAME.test(item))
      .map(([, place]) => ({ path: place, text: 'a secret is written in clear: write ${NAME} and store the value in its secret' }));
  });
}

/** `90s`, `15m`, `4h`, `1d` in seconds. */
function seconds(text: string | undefined): number | undefined {
  const found = text === undefined ? null : /^(\d+)\s*([smhd])$/.exec(text);
  const factor = { s: 1, m: MINUTE, h: HOUR, d: 24 * HOUR }[found?.[2] ?? ''];
  return found && factor ? Number(found[1]) * factor : undefined;
}

function interval(text: string | undefined, path: Path): Problem[] {
  if (text === undefined) {
    return [];
  }
  const length = seconds(text);
  if (length === undefined) {
    return [{ path, text: 'this is not a length of time: write 15m, 4h or 1d' }];
  }
  return length >= MINUTE && length % MINUTE === 0
    ? []
    : [{ path, text: `a schedule on AWS counts whole minutes: write ${Math.max(1, Math.ceil(length / MINUTE))}m` }];
}
