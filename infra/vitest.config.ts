import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // The built-in rules take seconds for each template; `test.sh` synthesises once with them.
    env: { CDK_VALIDATION: 'false' },
    include: ['test/*.test.ts'],
    testTimeout: 60_000,
  },
});
