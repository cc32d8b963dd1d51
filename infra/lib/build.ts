import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DocumentError } from './document.ts';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Builds the packages of these functions and returns the folder that holds them. What is up to date takes seconds. */
export function build(architecture: string, functions: readonly string[]): string {
  // Standard output belongs to the CDK command.
  const { status } = spawnSync('bash', [join(HERE, 'build.sh'), architecture, ...functions], { stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    throw new DocumentError('the functions could not be built: see above, or name a folder of packages with -c binaries=DIR');
  }
  return join(HERE, '..', 'target', 'lambda');
}
