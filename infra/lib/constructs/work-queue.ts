import { Duration, Validations } from 'aws-cdk-lib';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { FIVE_MINUTES, type Alarms } from './alarms.ts';

/** Receives after which a message goes to the dead letters. */
const MAX_RECEIVES = 10;
/** Longer than any run of a connector waits by itself. */
const OLD = Duration.hours(6);

/** The last stop of messages that failed. */
export class DeadLetters extends Queue {
  constructor(scope: Construct, id: string, props: { name: string }) {
    super(scope, id, {
      queueName: `${props.name}-dead`,
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    for (const id of ['Serverless::Serverless-SQSRedrivePolicy', 'AwsSolutions::AwsSolutions-SQS3']) {
      Validations.of(this).acknowledge({ id, reason: 'This is itself a queue of dead letters; an alarm tells when one arrives.' });
    }
  }
}

/** A queue with its dead letters and the alarms of both. */
export class WorkQueue extends Construct {
  readonly queue: Queue;
  readonly dead: DeadLetters;

  constructor(scope: Construct, id: string, props: { prefix: string; name: string; timeout: number; alarms: Alarms }) {
    super(scope, id);
    const { prefix, name, timeout, alarms } = props;
    this.dead = new DeadLetters(this, 'Dead', { name: `${prefix}-${name}` });
    this.queue = new Queue(this, 'Queue', {
      queueName: `${prefix}-${name}`,
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      // Six times the function's timeout: a batch that is throttled is not received by two at once.
      visibilityTimeout: Duration.seconds(6 * timeout),
      retentionPeriod: Duration.days(14),
      deadLetterQueue: { queue: this.dead, maxReceiveCount: MAX_RECEIVES },
    });
    watchDeadLetters(alarms, name, this.dead);
    alarms.add(`${name}-waits`, {
      metric: this.queue.metricApproximateAgeOfOldestMessage({ period: FIVE_MINUTES, statistic: 'Maximum' }),
      above: OLD.toSeconds(),
      periods: 3,
      outOf: 3,
      remedy: `Messages of ${name} wait for more than ${OLD.toHours()} hours. Look at its log for refusals and limits, then at its concurrency (README: *-waits).`,
    });
  }
}

/** Tells when a message has failed for good. */
export function watchDeadLetters(alarms: Alarms, name: string, dead: Queue): void {
  alarms.add(`${name}-dead-letters`, {
    metric: dead.metricApproximateNumberOfMessagesVisible({ period: FIVE_MINUTES, statistic: 'Maximum' }),
    above: 0,
    remedy: `A message of ${name} failed for good. Read its reason in the log, remove the cause, then redrive (README: *-dead-letters).`,
  });
}
