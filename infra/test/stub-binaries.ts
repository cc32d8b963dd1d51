import { cpSync } from 'node:fs';
import { stubBinaries } from './support.ts';

/** Packages for a synthesis that nobody deploys: `stub-binaries.ts FOLDER`. */
const [folder] = process.argv.slice(2);
if (!folder) {
  throw new Error('name a folder');
}
cpSync(stubBinaries(), folder, { recursive: true });
