"""Deploys a cloud assembly (what `cdk synth` leaves) as the CDK command does: assets to the bootstrap bucket, then stacks."""

import json
import time
from pathlib import Path

from emulator import ACCOUNT, REGION


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
        operation(**arguments)
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

