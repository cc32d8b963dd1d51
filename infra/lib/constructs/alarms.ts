import { Duration, Stack, Validations } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData, type IAlarmAction, type IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';

/** A condition that somebody should look at. */
export interface AlarmProps {
  readonly metric: IMetric;
  readonly above: number;
  /** Periods that must be bad, and out of how many. */
  readonly periods?: number;
  readonly outOf?: number;
  /** No data is as bad as bad data. */
  readonly silenceIsBad?: boolean;
  /** What to do; also the heading in the README's list of alarms. */
  readonly remedy: string;
}

/** The topic that alarms and the budget are announced to, and every alarm. */
export class Alarms extends Construct {
  readonly topic: Topic;
  readonly all: Alarm[] = [];
  readonly #prefix: string;
  readonly #action: IAlarmAction;

  constructor(scope: Construct, id: string, props: { prefix: string; emails: readonly string[]; key: IKey }) {
    super(scope, id);
    this.#prefix = props.prefix;
    this.topic = new Topic(this, 'Topic', { displayName: `Alarms of ${props.prefix}`, masterKey: props.key, enforceSSL: true });
    this.topic.addToResourcePolicy(new PolicyStatement({
      sid: 'AlarmsAndBudgets',
      principals: [new ServicePrincipal('cloudwatch.amazonaws.com'), new ServicePrincipal('budgets.amazonaws.com')],
      actions: ['sns:Publish'],
      resources: [this.topic.topicArn],
      conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
    }));
    for (const email of props.emails) {
      Validations.of(this.topic.addSubscription(new EmailSubscription(email))).acknowledge({
        id: 'Serverless::Serverless-SNSRedrivePolicy',
        reason: 'Mail that cannot be delivered is not redriven; the alarm itself stays, and the pages show what is wrong.',
      });
    }
    this.#action = new SnsAction(this.topic);
  }

  /** Adds one alarm called `name`. */
  add(name: string, props: AlarmProps): void {
    const alarm = new Alarm(this, name, {
      alarmName: `${this.#prefix}-${name}`,
      alarmDescription: props.remedy,
      metric: props.metric,
      threshold: props.above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: props.outOf ?? props.periods ?? 1,
      datapointsToAlarm: props.periods ?? 1,
      treatMissingData: props.silenceIsBad ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(this.#action);
    alarm.addOkAction(this.#action);
    this.all.push(alarm);
  }
}

/** Periods of alarms. */
export const FIVE_MINUTES = Duration.minutes(5);
