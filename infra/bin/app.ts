import { createApp } from '../lib/app.ts';
import { DocumentError } from '../lib/document.ts';

try {
  createApp();
} catch (error) {
  if (!(error instanceof DocumentError)) {
    throw error;
  }
  // What a person wrote is at fault: where and what to do, without a stack trace.
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
