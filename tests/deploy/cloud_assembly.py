"""Deploys a cloud assembly (what `cdk synth` leaves) as the CDK command does: assets to the bootstrap bucket, then stacks."""

import json
import time
from pathlib import Path

from emulator import ACCOUNT, REGION

# On AWS the permission for one message or item is that for a batch or a transaction of them; the emulator asks for the
# operation by its own name.
SAME_PERMISSION = {
    "sqs:SendMessage": ["sqs:SendMessageBatch"],
    "dynamodb:PutItem": ["dynamodb:TransactWriteItems"],
    "dynamodb:UpdateItem": ["dynamodb:TransactWriteItems"],
}


class Assembly:
    def __init__(self, folder: Path):
        self.folder = folder

    def template(self, stack: str) -> dict:
        return json.loads((self.folder / f"{stack}.template.json").read_text())

    def bootstrap(self, emulator):
        """What `cdk bootstrap` creates and the templates refer to: the bucket of assets and its version."""
        emulator.client("s3").create_bucket(Bucket=self.bucket())
        emulator.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="28", Type="String")

    def bucket(self) -> str:
        return f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"

    def publish(self, emulator, stack: str):
        s3 = emulator.client("s3")
        assets = json.loads((self.folder / f"{stack}.assets.json").read_text())
        for asset in assets["files"].values():
            source = self.folder / asset["source"]["path"]
            for destination in asset["destinations"].values():
                s3.put_object(Bucket=self.bucket(), Key=destination["objectKey"], Body=source.read_bytes())

    def template_key(self, stack: str) -> str:
        assets = json.loads((self.folder / f"{stack}.assets.json").read_text())
        template = next(a for a in assets["files"].values() if a["source"]["path"] == f"{stack}.template.json")
        return next(iter(template["destinations"].values()))["objectKey"]

    def deploy(self, emulator, stack: str) -> dict[str, str]:
        """Creates or updates a stack, waits for the end, and returns its outputs."""
        self.publish(emulator, stack)
        cloudformation = emulator.client("cloudformation")
        arguments = {
            "StackName": stack,
            # The template is one of the assets; in the body of a request it would be too long.
            "TemplateURL": f"{emulator.endpoint}/{self.bucket()}/{self.template_key(stack)}",
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        }
        known = [s["StackName"] for s in cloudformation.describe_stacks()["Stacks"] if s["StackStatus"] != "DELETE_COMPLETE"]
        operation = cloudformation.update_stack if stack in known else cloudformation.create_stack
        try:
            operation(**arguments)
        except cloudformation.exceptions.ClientError as error:
            # Nothing to change is no failure, for the CDK command neither.
            if "No updates are to be performed" not in str(error):
                raise
        while True:
            found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            if not found["StackStatus"].endswith("IN_PROGRESS"):
                break
            time.sleep(0.5)
        if found["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            reasons = [f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in events if "FAILED" in e["ResourceStatus"]]
            raise AssertionError(f"{stack} is {found['StackStatus']}: {'; '.join(reasons)} {found.get('StackStatusReason', '')}")
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}



def name_permissions(emulator):
    """Gives each function's role, under the emulator's names, what it has already: same resources, same conditions."""
    iam = emulator.client("iam")
    for function in emulator.client("lambda").list_functions()["Functions"]:
        role = function["Role"].rsplit("/", 1)[1]
        added = []
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                more = sorted({name for action in actions for name in SAME_PERMISSION.get(action, [])})
                if more:
                    added.append({**statement, "Action": more})
        if added:
            iam.put_role_policy(RoleName=role, PolicyName="names-of-the-emulator",
                                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": added}))
