import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node } from 'yaml';

/** A place in a document: `['connectors', 0, 'auth', 'password']`. */
export type Path = readonly (string | number)[];

/** One thing that is wrong, where it is, and what to do. */
export interface Problem {
  readonly path: Path;
  readonly text: string;
  /** The field's name is at fault (it is unknown), not its value. */
  readonly atName?: boolean;
}

/** A document that cannot be used. The message has one line for each problem: file, line, column, field, remedy. */
export class DocumentError extends Error {
  override readonly name = 'DocumentError';
}

/** A YAML document with the places of its fields. */
export class YamlDocument {
  readonly file: string;
  readonly text: string;
  readonly #parsed: Document;
  readonly #lines: LineCounter;

  private constructor(file: string, text: string, parsed: Document, lines: LineCounter) {
    this.file = file;
    this.text = text;
    this.#parsed = parsed;
    this.#lines = lines;
  }

  /** Reads a file; `missing` says what to do when there is none. */
  static read(path: string, missing: string): YamlDocument {
    if (!existsSync(path)) {
      throw new DocumentError(`${path} does not exist: ${missing}`);
    }
    return YamlDocument.parse(basename(path), readFileSync(path, 'utf8'));
  }

  /** Parses text that came from `file`. */
  static parse(file: string, text: string): YamlDocument {
    const lines = new LineCounter();
    const parsed = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    if (parsed.errors.length > 0) {
      const messages = parsed.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return `${file}:${line}:${col}: not valid YAML: ${error.message.split('\n')[0]}`;
      });
      throw new DocumentError(messages.join('\n'));
    }
    return new YamlDocument(file, text, parsed, lines);
  }

  /** The content as plain values; an empty document is an empty object. */
  get content(): unknown {
    return this.#parsed.toJS() ?? {};
  }

  /** Refuses the document if there is any problem. */
  refuse(problems: readonly Problem[]): void {
    if (problems.length > 0) {
      const lines = problems.map((problem) => `${this.#place(problem)}: ${name(problem.path)}: ${problem.text}`);
      throw new DocumentError([...new Set(lines)].join('\n'));
    }
  }

  /** The content as `T`, if `schema` allows it. */
  validate<T>(schema: object): T {
    // Formats such as `uint32` describe, they are not checked; ranges are.
    const ajv = new Ajv2020({ allErrors: true, verbose: true, strict: false, validateFormats: false });
    const check = ajv.compile<T>(schema);
    const content = this.content;
    if (check(content)) {
      return content;
    }
    this.refuse(meant(check.errors ?? []).map(problemOf));
    throw new DocumentError(`${this.file}: not what the schema allows`);
  }

  #place({ path, atName }: Problem): string {
    const { line, col } = this.#lines.linePos(this.#offset(path, atName ?? false));
    return `${this.file}:${line}:${col}`;
  }

  /** Where a field is, or else the nearest thing that holds it. */
  #offset(path: Path, atName: boolean): number {
    for (let length = path.length; length > 0; length--) {
      const parent = this.#parsed.getIn(path.slice(0, length - 1), true);
      const key = path[length - 1];
      if (isMap(parent)) {
        const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === key);
        const node = (atName || !pair?.value ? pair?.key : pair.value) as Node | undefined;
        if (node?.range) {
          return node.range[0];
        }
      }
      const node = this.#parsed.getIn(path.slice(0, length), true) as Node | undefined;
      if (node?.range) {
        return node.range[0];
      }
    }
    return 0;
  }
}

function name(path: Path): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
  return text.replace(/^\./, '') || 'the document';
}

/** Of alternatives, only the errors of the one that was meant: the one whose tag fits. */
function meant(errors: readonly ErrorObject[]): ErrorObject[] {
  const alternative = /^(.*\/(?:oneOf|anyOf))\/(\d+)\//;
  const group = (error: ErrorObject) => alternative.exec(error.schemaPath);
  const isTag = (error: ErrorObject) => error.keyword === 'const';
  const kept = errors.filter((error) => {
    const found = group(error);
    if (!found) {
      // Says only that no alternative fits; what does not fit in the one that was meant is said as well.
      return !['oneOf', 'anyOf', 'if'].includes(error.keyword)
        || !errors.some((other) => other !== error && other.schemaPath.startsWith(`${error.schemaPath}/`));
    }
    const branch = (other: ErrorObject) => group(other)?.[1] === found[1] && group(other)?.[2] === found[2];
    const wrongTag = errors.some((other) => branch(other) && isTag(other));
    return !wrongTag || isTag(error);
  });
  // A tag that fits nowhere is one problem with a list of what would fit, unless another alternative was meant.
  const tags = new Map<string, ErrorObject[]>();
  const rest: ErrorObject[] = [];
  for (const error of kept) {
    const found = group(error);
    if (found && isTag(error)) {
      const key = `${error.instancePath} ${found[1]}`;
      tags.set(key, [...(tags.get(key) ?? []), error]);
    } else {
      rest.push(error);
    }
  }
  for (const [key, found] of tags) {
    const parent = key.slice(key.indexOf(' ') + 1);
    const another = rest.some((error) => group(error)?.[1] === parent);
    const first = found[0];
    if (!another && first) {
      const allowedValues = found.map((error) => (error.params as { allowedValue: unknown }).allowedValue);
      rest.push({ ...first, keyword: 'enum', params: { allowedValues } });
    }
  }
  return rest.length > 0 ? rest : [...errors];
}

function problemOf(error: ErrorObject): Problem {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties':
    case 'unevaluatedProperties': {
      const unknown = String(params['additionalProperty'] ?? params['unevaluatedProperty']);
      const known = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {});
      return {
        path: [...path, unknown],
        text: known.length > 0 ? `there is no such field: use one of ${known.join(', ')}` : 'there is no such field: remove it',
        atName: true,
      };
    }
    case 'required':
      return { path, text: `${String(params['missingProperty'])} is missing: add it` };
    case 'enum':
      return { path, text: `use one of ${(params['allowedValues'] as unknown[]).map(String).join(', ')}` };
    case 'const':
      return { path, text: `use ${String(params['allowedValue'])}` };
    case 'type':
      return { path, text: `this must be ${article(String(params['type']))}` };
    case 'pattern':
      return { path, text: description(error) ?? `this must look like ${String(params['pattern'])}` };
    default:
      return { path, text: `${error.message ?? 'this is not allowed'}${hint(error)}` };
  }
}

function description(error: ErrorObject): string | undefined {
  const text = error.parentSchema?.['description'];
  return typeof text === 'string' ? `this is not as described: ${text}` : undefined;
}

function hint(error: ErrorObject): string {
  const text = description(error);
  return text ? ` (${text})` : '';
}

function article(type: string): string {
  const named: Record<string, string> = {
    array: 'a list',
    object: 'a group of fields',
    string: 'a text (put it in quotes)',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
  };
  return type.split(',').map((one) => named[one] ?? one).join(' or ');
}
