import { Duration } from 'aws-cdk-lib';
import { Dashboard, GraphWidget, Metric, Stats, TextWidget, type IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import { Construct } from 'constructs';
import type { Config } from '../connectors.ts';
import type { RustFunction } from './rust-function.ts';
import type { WorkQueue } from './work-queue.ts';
import { FIVE_MINUTES, type Alarms } from './alarms.ts';

/** Namespace of the metrics that the functions write to their logs. */
const NAMESPACE = 'vulnrelay';
const HALF = 12;

/** Every feed but EPSS, which is new every day, may rest over holidays. */
const QUIET_DAYS = 10;

export interface OverviewProps {
  readonly name: string;
  readonly config: Config;
  readonly functions: ReadonlyMap<string, RustFunction>;
  readonly queues: ReadonlyMap<string, WorkQueue>;
  readonly api: HttpApi;
  readonly table: ITable;
  readonly alarms: Alarms;
}

/** The CloudWatch dashboard, and the alarms on what the functions say about their work. */
export class Overview extends Construct {
  constructor(scope: Construct, id: string, props: OverviewProps) {
    super(scope, id);
    const { config, functions, queues, api, table } = props;
    const connectors = config.connectors.map(({ name }) => name);
    const of = (metric: string, statistic: string) => connectors.map((name) => own(metric, { Connector: name }, statistic, name));
    const graph = (title: string, left: IMetric[], right: IMetric[] = []) => new GraphWidget({ title, left, right, width: HALF, height: 6 });
    const dashboard = new Dashboard(this, 'Dashboard', { dashboardName: props.name, defaultInterval: Duration.days(1) });
    dashboard.addWidgets(new TextWidget({ markdown: `# ${props.name}: work`, width: 2 * HALF, height: 1 }));
    dashboard.addWidgets(
      graph('Seconds since the last complete run, by connector', of('SyncLag', Stats.MAXIMUM)),
      graph('Findings received, by connector', of('Received', Stats.SUM)),
    );
    dashboard.addWidgets(
      graph('Written, by connector', of('Written', Stats.SUM)),
      graph('Opened and closed', [
        ...connectors.map((name) => own('Opened', { Connector: name }, Stats.SUM, `${name} opened`)),
        ...connectors.map((name) => own('Closed', { Connector: name }, Stats.SUM, `${name} closed`)),
      ]),
    );
    dashboard.addWidgets(
      graph('Refused by other systems, held by budgets', of('Refused', Stats.SUM), [
        own('BudgetHeld', { Function: 'notify' }, Stats.SUM, 'messages held'),
        own('BudgetHeld', { Function: 'ticket' }, Stats.SUM, 'tickets held'),
      ]),
      graph('Seconds from statement to decision; age of feeds', [own('ScoreAge', { Function: 'score' }, Stats.MAXIMUM, 'decisions')],
        config.feeds.map((feed) => own('FeedAge', { Feed: feed }, Stats.MAXIMUM, feed))),
    );
    dashboard.addWidgets(new TextWidget({ markdown: '# Functions and queues', width: 2 * HALF, height: 1 }));
    const every = [...functions.entries()];
    const lambda = (metric: (one: RustFunction) => Metric) => every.map(([name, one]) => metric(one).with({ label: name }));
    dashboard.addWidgets(
      graph('Invocations', lambda((one) => one.function.metricInvocations({ period: FIVE_MINUTES }))),
      graph('Errors, throttles', lambda((one) => one.function.metricErrors({ period: FIVE_MINUTES })),
        lambda((one) => one.function.metricThrottles({ period: FIVE_MINUTES }))),
    );
    dashboard.addWidgets(
      graph('Milliseconds, 99 %', lambda((one) => one.function.metricDuration({ period: FIVE_MINUTES, statistic: Stats.percentile(99) }))),
      graph('API: answers of 4xx, 5xx', [api.metricClientError({ period: FIVE_MINUTES, statistic: 'Sum' }), api.metricServerError({ period: FIVE_MINUTES, statistic: 'Sum' })],
        [api.metricCount({ period: FIVE_MINUTES, statistic: 'Sum' })]),
    );
    const waiting = [...queues.entries()];
    dashboard.addWidgets(
      graph('Waiting messages', waiting.map(([name, { queue }]) => queue.metricApproximateNumberOfMessagesVisible({ label: name, period: FIVE_MINUTES }))),
      graph('Dead letters', waiting.map(([name, { dead }]) => dead.metricApproximateNumberOfMessagesVisible({ label: name, period: FIVE_MINUTES }))),
    );
    dashboard.addWidgets(
      graph('Table: units', [units(table, 'ConsumedWriteCapacityUnits')], [units(table, 'ConsumedReadCapacityUnits')]),
      graph('Table: throttled', [units(table, 'WriteThrottleEvents'), units(table, 'ReadThrottleEvents')]),
    );
    this.#watch(props);
  }

  #watch({ config, alarms }: OverviewProps): void {
    for (const { name, syncInterval } of config.connectors) {
      alarms.add(`${name}-lags`, {
        metric: own('SyncLag', { Connector: name }, Stats.MAXIMUM),
        above: 3 * Math.max(syncInterval, 3_600),
        periods: 3,
        outOf: 3,
        remedy: `${name} had no complete run for three times its interval. The runs page says why (README: *-lags).`,
      });
    }
    for (const feed of config.feeds) {
      alarms.add(`feed-${feed}-old`, {
        metric: own('FeedAge', { Feed: feed }, Stats.MAXIMUM),
        above: Math.max(4 * config.feedsInterval, (feed === 'epss' ? 2 : QUIET_DAYS) * 86_400),
        periods: 3,
        outOf: 3,
        remedy: `The feed ${feed} cannot be read or shrank; its last good data is in use (README: feed-*-old).`,
      });
    }
    alarms.add('decisions-late', {
      metric: own('ScoreAge', { Function: 'score' }, Stats.MAXIMUM),
      above: 3_600,
      periods: 3,
      outOf: 3,
      remedy: 'What scanners said an hour ago has not been decided on. Look at the queue and the log of score (README: decisions-late).',
    });
  }
}

function own(metricName: string, dimensionsMap: Record<string, string>, statistic: string, label?: string): Metric {
  return new Metric({ namespace: NAMESPACE, metricName, dimensionsMap, statistic, period: FIVE_MINUTES, ...(label === undefined ? {} : { label }) });
}

function units(table: ITable, metricName: string): Metric {
  return new Metric({
    namespace: 'AWS/DynamoDB',
    metricName,
    dimensionsMap: { TableName: table.tableName },
    statistic: 'Sum',
    period: FIVE_MINUTES,
  });
}
