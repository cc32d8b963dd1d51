import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App, Tags, Validations, type AppProps } from 'aws-cdk-lib';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';
import { build } from './build.ts';
import { readConfig } from './connectors.ts';
import { DEPLOYMENT_TAG, FunctionsStack } from './functions-stack.ts';
import { rowsFor } from './functions.ts';
import { readSettings, withArchitecture } from './settings.ts';
import { StatefulStack } from './stateful-stack.ts';

const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * The app with both stacks. What can be given with `-c`: config, deployment, arch, and binaries, a folder of packages;
 * without that, the functions are built first.
 */
export function createApp(props: AppProps = {}): { app: App; stateful: StatefulStack; functions: FunctionsStack } {
  const app = new App(props);
  const given = (name: string) => app.node.tryGetContext(name) as string | undefined;
  const config = readConfig(given('config') ?? join(HERE, 'connectors.yaml'));
  const file = given('deployment');
  const settings = withArchitecture(readSettings(file ?? join(HERE, 'deployment.yaml'), file !== undefined, config), given('arch'));
  const types = new Set(config.connectors.map(({ type }) => type));
  const binaries = given('binaries') ?? build(settings.architecture, rowsFor(types).map(({ name }) => name));

  const stateful = new StatefulStack(app, `${settings.name}-stateful`, {
    config,
    settings,
    description: 'vulnrelay: table, key, secrets, people',
  });
  const functions = new FunctionsStack(app, `${settings.name}-functions`, {
    config,
    settings,
    stateful,
    binaries,
    description: 'vulnrelay: functions, queues, schedules, API, alarms',
  });
  // CloudFormation's published schema of dashboards knows no tags.
  Tags.of(app).add(DEPLOYMENT_TAG, settings.name, { excludeResourceTypes: ['AWS::CloudWatch::Dashboard'] });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app), new ServerlessChecks(app));
  return { app, stateful, functions };
}
