import { Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal, type IRole } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { ContextAttribute, Schedule, ScheduleExpression, ScheduleGroup, ScheduleTargetInput } from 'aws-cdk-lib/aws-scheduler';
import { LambdaInvoke, SqsSendMessage } from 'aws-cdk-lib/aws-scheduler-targets';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** What fails to be delivered for so long ends in the dead letters: the next one does the same work. */
const DELIVERY = { maxEventAge: Duration.hours(1), retryAttempts: 20 };

/** The schedules of a deployment, in a group of their own. */
export class Schedules extends Construct {
  readonly #group: ScheduleGroup;

  constructor(scope: Construct, id: string, props: { prefix: string }) {
    super(scope, id);
    this.#group = new ScheduleGroup(this, 'Group', { scheduleGroupName: props.prefix });
  }

  /** Sends `message` to a queue. */
  message(name: string, seconds: number, message: Record<string, string>, to: { queue: IQueue; dead: IQueue }): void {
    const input = ScheduleTargetInput.fromObject(message);
    this.#add(name, seconds, new SqsSendMessage(to.queue, { ...DELIVERY, input, deadLetterQueue: to.dead }));
  }

  /** Calls a function. */
  call(name: string, seconds: number, to: { function: IFunction; dead: IQueue }): void {
    const input = ScheduleTargetInput.fromObject({});
    const role = this.#callerOf(name, to);
    this.#add(name, seconds, new LambdaInvoke(to.function, { ...DELIVERY, input, deadLetterQueue: to.dead, role }));
  }

  /** The role that CDK would make may call every version of the function as well. */
  #callerOf(name: string, to: { function: IFunction; dead: IQueue }): IRole {
    const role = new Role(this, `Role-${name}`, {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account, 'aws:SourceArn': this.#group.scheduleGroupArn } },
      }),
    });
    role.addToPolicy(new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [to.function.functionArn] }));
    role.addToPolicy(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [to.dead.queueArn] }));
    return role.withoutPolicyUpdates();
  }

  #add(name: string, seconds: number, target: LambdaInvoke | SqsSendMessage): void {
    new Schedule(this, name, {
      scheduleName: name,
      scheduleGroup: this.#group,
      schedule: ScheduleExpression.rate(Duration.minutes(seconds / 60)),
      target,
    });
  }
}

/** Tells two firings apart, and is the same when one is delivered twice. */
export const EXECUTION_ID = ContextAttribute.executionId;
