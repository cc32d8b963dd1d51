import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FUNCTIONS, ITEMS, queueVariable, SCANNERS, scannerFunction } from '../lib/functions.ts';
import { resources, synthesise, WHOLE } from './support.ts';

const source = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match.slice(1) as string[]);

describe('what the functions expect', () => {
  it('is deployed: every folder has its row', () => {
    const folders = readdirSync(new URL('../../functions', import.meta.url));
    const rows = [...FUNCTIONS, ...SCANNERS.map(scannerFunction)].map(({ name }) => name);
    expect(rows).toEqual(expect.arrayContaining(folders));
  });

  it('is the table: the indexes are those of shared/store', () => {
    const keys = source('shared/store/src/keys.rs');
    const names = new Map(all(keys, /pub const (\w+): &str = "([\w-]+)";/g) as [string, string][]);
    const expected = all(source('shared/store/src/schema.rs'), /\(keys::(\w+), "(\w+)", "(\w+)"\)/g)
      .map(([name, partition, sort]) => [names.get(name!), partition, sort]);
    expect(expected).toHaveLength(3);
    const table = resources(synthesise(WHOLE).stateful, 'AWS::DynamoDB::Table')[0]!;
    const indexes = (table.Properties['GlobalSecondaryIndexes'] as any[])
      .map(({ IndexName, KeySchema }) => [IndexName, ...KeySchema.map((key: any) => key.AttributeName)]);
    expect(indexes).toEqual(expected);
  });

  it('are items whose keys begin as the permissions say', () => {
    const written = new Set(all(source('shared/store/src/keys.rs'), /Key::new\(format!\("([A-Z])#/g).map(([letter]) => letter!));
    expect(written.size).toBeGreaterThan(4);
    for (const letter of written) {
      expect(Object.values(ITEMS).map((pattern) => pattern[0])).toContain(letter);
    }
  });

  it('are queues under the names of their variables', () => {
    const named = all(source('shared/queue/src/send.rs'), /=> "([a-z-]+)"/g).map(([name]) => name!);
    const rows = [...FUNCTIONS, ...SCANNERS.map(scannerFunction)].filter(({ trigger }) => trigger.by === 'queue').map(({ name }) => name);
    expect(rows).toEqual(expect.arrayContaining(named));
    expect(queueVariable('sync-qualys')).toBe('QUEUE_SYNC_QUALYS');
  });
});
