import { readFileSync } from 'node:fs';

/**
 * What is deployed. Every function, queue, schedule, permission and alarm comes from two tables: `FUNCTIONS` here, and
 * the kinds of scanner, which the schema of connectors.yaml brings along.
 *
 * With a connector of its type in connectors.yaml a scanner gets a function, a queue with dead letters, schedules,
 * permissions, alarms and its place on the CloudWatch dashboard.
 */

/** Beginnings of partition keys. The table's items are in `shared/store/src/keys.rs`. */
export const ITEMS = {
  sightings: 'S#*',
  rules: 'R#*',
  runs: 'U#*',
  assets: 'A#*',
  histories: 'H#*',
  identifiers: 'I#*',
  cves: 'C#*',
  configuration: 'P#config',
  notes: 'P#note',
  feeds: 'P#feed#*',
  firewalls: 'P#firewall#*',
  counters: 'T#*',
  deliveries: 'D#*',
  budgets: 'B#*',
  audit: 'L#*',
  tokens: 'K#*',
} as const;

export type Item = keyof typeof ITEMS;
export type Index = 'by-owner' | 'top-scores' | 'timers';

/** What a function may do with the table. Everything else is denied. */
export interface TableAccess {
  /** Items that it reads; `all` for pages that show everything. */
  readonly read: readonly Item[] | 'all';
  /** Items that it puts and updates. */
  readonly write?: readonly Item[];
  /** Items that it deletes. */
  readonly delete?: readonly Item[];
  readonly indexes?: readonly Index[];
}

/** Whose secrets a function reads. */
export type SecretOwner = 'connectors' | 'channels' | 'trackers' | 'webhooks' | 'feedsSecret' | 'dashboard';

/** How a function is reached. */
export type Trigger =
  | { readonly by: 'queue'; readonly batch: number; readonly concurrency: number }
  | { readonly by: 'schedule'; readonly minutes: number }
  | { readonly by: 'api'; readonly route: string }
  | { readonly by: 'deployment' };

/** One Lambda function. Its name is that of its folder, its binary and its queue. */
export interface FunctionRow {
  readonly name: string;
  readonly does: string;
  readonly trigger: Trigger;
  readonly memory: number;
  /** Seconds; a queue's visibility timeout is six times that. */
  readonly timeout: number;
  /** Queues that it sends to; `sync` stands for those of all scanners. */
  readonly sends: readonly string[];
  readonly secrets?: SecretOwner;
  /** Whether it reads the network of the accounts in the configuration. */
  readonly accounts?: true;
  readonly table: TableAccess;
}

/** One kind of scanner, as `shared/domain/src/scanner.rs` has it. */
export interface ScannerRow {
  /** The `type` of its connectors. */
  readonly type: string;
  /** Its function, which is also the name of its queue. */
  readonly function: string;
  /** What it is called by its maker. */
  readonly product: string;
  /** Messages worked at the same time: what the scanner's limits allow for all its connectors together (2 to 1000). */
  readonly concurrency: number;
  /** What it is told by: its schedule, or findings that AWS services publish as events. */
  readonly events?: readonly { readonly source: string; readonly detailType: string }[];
}

/** The JSON schema of connectors.yaml: `vulnrelay schema` makes it from the types that read the document at run time. */
export const SCHEMA = JSON.parse(readFileSync(new URL('../connectors.schema.json', import.meta.url), 'utf8')) as object;

/** Every kind of scanner that has a function. */
export const SCANNERS = (SCHEMA as { 'x-scanners': readonly ScannerRow[] })['x-scanners'];

/** Time budget of one message is 240 s (`EngineOptions`); the rest is for writing what was read. */
const LONG = 300;

/** Every function but those of the scanners. */
export const FUNCTIONS: readonly FunctionRow[] = [
  {
    name: 'configure',
    does: 'Stores connectors.yaml as a new version when it is deployed',
    trigger: { by: 'deployment' },
    memory: 256,
    timeout: 60,
    sends: [],
    table: { read: ['configuration'], write: ['configuration'] },
  },
  {
    name: 'sync-intel',
    does: 'Pulls what the world knows of CVEs',
    trigger: { by: 'queue', batch: 1, concurrency: 2 },
    memory: 1024,
    timeout: LONG,
    sends: ['sync-intel', 'score'],
    secrets: 'feedsSecret',
    table: {
      read: ['configuration', 'feeds', 'notes', 'cves', 'counters'],
      write: ['feeds', 'notes', 'cves'],
      indexes: ['by-owner'],
    },
  },
  {
    name: 'sync-exposure',
    does: 'Looks up who can reach assets',
    trigger: { by: 'queue', batch: 1, concurrency: 2 },
    memory: 512,
    timeout: LONG,
    sends: ['sync-exposure', 'score'],
    accounts: true,
    table: {
      read: ['configuration', 'firewalls', 'notes', 'assets', 'identifiers', 'counters'],
      write: ['assets', 'notes'],
      indexes: ['by-owner'],
    },
  },
  {
    name: 'score',
    does: 'Finds assets, merges, classifies, scores, sets deadlines',
    trigger: { by: 'queue', batch: 10, concurrency: 10 },
    memory: 512,
    timeout: LONG,
    sends: ['notify', 'ticket'],
    table: {
      read: ['configuration', 'notes', 'feeds', 'sightings', 'rules', 'runs', 'assets', 'histories', 'identifiers', 'cves'],
      write: ['sightings', 'assets', 'histories', 'identifiers', 'cves', 'counters'],
      delete: ['cves', 'histories'],
    },
  },
  {
    name: 'sla',
    does: 'Looks for timers that are due',
    trigger: { by: 'schedule', minutes: 5 },
    memory: 256,
    timeout: 240,
    sends: ['score', 'notify'],
    table: { read: ['configuration', 'notes', 'runs', 'feeds'], write: ['notes'], indexes: ['timers'] },
  },
  {
    name: 'notify',
    does: 'Sends messages to channels',
    trigger: { by: 'queue', batch: 10, concurrency: 2 },
    memory: 256,
    timeout: LONG,
    sends: ['notify'],
    secrets: 'channels',
    table: {
      read: ['configuration', 'assets', 'runs', 'deliveries', 'budgets'],
      write: ['assets', 'runs', 'deliveries', 'budgets'],
    },
  },
  {
    name: 'ticket',
    does: 'Creates and closes tickets',
    trigger: { by: 'queue', batch: 10, concurrency: 2 },
    memory: 256,
    timeout: LONG,
    sends: ['ticket', 'score'],
    secrets: 'trackers',
    table: {
      read: ['configuration', 'assets', 'rules', 'deliveries', 'budgets'],
      write: ['assets', 'deliveries', 'budgets'],
    },
  },
  {
    name: 'webhook',
    does: 'Verifies pushes and starts what they ask for',
    trigger: { by: 'api', route: 'POST /webhooks/{source}' },
    memory: 256,
    timeout: 10,
    sends: ['sync'],
    secrets: 'webhooks',
    table: { read: ['configuration', 'deliveries'], write: ['deliveries'] },
  },
  {
    name: 'dashboard',
    does: 'The pages and the JSON API',
    trigger: { by: 'api', route: '$default' },
    memory: 512,
    // An HTTP API waits no longer than 30 s.
    timeout: 29,
    sends: ['sync', 'sync-exposure', 'score', 'notify', 'ticket'],
    secrets: 'dashboard',
    table: {
      read: 'all',
      // Who is one machine is changed with its links, what leads to it and its counters in one transaction.
      write: ['assets', 'histories', 'identifiers', 'sightings', 'counters', 'runs', 'notes', 'firewalls', 'deliveries', 'tokens', 'audit'],
      delete: ['histories'],
      indexes: ['by-owner', 'top-scores', 'timers'],
    },
  },
];

/** The function of a kind of scanner. */
export function scannerFunction(row: ScannerRow): FunctionRow {
  const name = row.function;
  return {
    name,
    does: row.events ? `Takes findings of ${row.product}` : `Pulls ${row.product}`,
    // A unit of a pull may take minutes: one at a time, so that a batch does not add up to a timeout. Events are short.
    trigger: { by: 'queue', batch: row.events ? 10 : 1, concurrency: row.concurrency },
    memory: 512,
    timeout: LONG,
    // A pull goes on in its own queue and announces its first end; both tell `score` what changed.
    sends: row.events ? ['score'] : [name, 'score', 'notify'],
    secrets: 'connectors',
    table: {
      read: ['configuration', 'sightings', 'rules', 'runs'],
      write: ['sightings', 'rules', 'runs'],
      delete: ['sightings', 'rules', 'runs'],
    },
  };
}

/** The functions of a deployment: those that are always there, and those of the scanners that are used. */
export function rowsFor(types: ReadonlySet<string>): FunctionRow[] {
  return [...FUNCTIONS, ...SCANNERS.filter(({ type }) => types.has(type)).map(scannerFunction)];
}

/** The variable that holds a queue's address: `QUEUE_SYNC_QUALYS`. */
export function queueVariable(queue: string): string {
  return `QUEUE_${queue.toUpperCase().replaceAll('-', '_')}`;
}
