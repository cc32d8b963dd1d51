"""Stands between the functions and the emulator, and remembers which function asked for what.

The emulator checks actions and resources of the functions' roles, but not `dynamodb:LeadingKeys`. That is checked here, on
the calls that were really made, against the policies of the template.
"""

import fnmatch
import hashlib
import http.client
import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Access:
    """One access to one partition, or to an index."""

    function: str
    action: str
    partition: str
    index: str = ""


class Recorder:
    def __init__(self, port: int, emulator_port: int, refusals: Path):
        self.calls: list[tuple[str, str, dict]] = []
        self.denied: list[str] = []
        refused = refusals.open("w", buffering=1)
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                target = self.headers.get("x-amz-target", "")
                if target:
                    key = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
                    recorder.calls.append((key.group(1) if key else "", target, json.loads(body)))
                connection = http.client.HTTPConnection("127.0.0.1", emulator_port, timeout=120)
                # The signature covers the host that the function knows.
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() != "connection":
                        connection.putheader(name, value)
                # The queues' policies take TLS only. Here TLS would end at this proxy.
                connection.putheader("x-forwarded-proto", "https")
                connection.endheaders(body)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status >= 400:
                    print(self.command, self.path, target, answer.status, content[:1000], file=refused)
                    if b"AccessDenied" in content:
                        recorder.denied.append(f"{target}: {content[:600].decode(errors='replace')}")
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_HEADERS:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                connection.close()

            def handle(self):
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    # A function that was stopped does not wait for its answer.
                    pass

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = forward

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()

    def accesses(self, functions: list[dict]) -> set[Access]:
        """What the functions did, each access once."""
        names = {session_key(f["FunctionArn"], f["Role"]): f["FunctionName"] for f in functions}
        return {
            Access(names.get(key, key), action, partition, index)
            for key, target, body in list(self.calls)
            if target.startswith("DynamoDB_")
            for action, partition, index in parts(target.split(".")[1], body)
        }

    def sent(self, function: dict) -> list[dict]:
        """The messages that a function sent to queues."""
        mine = session_key(function["FunctionArn"], function["Role"])
        return [
            json.loads(entry["MessageBody"])
            for key, target, body in list(self.calls)
            if key == mine and target == "AmazonSQS.SendMessageBatch"
            for entry in body["Entries"]
        ]


def session_key(function_arn: str, role_arn: str) -> str:
    """The access key that the emulator gives to the function that runs in this role."""
    return "ASIA" + hashlib.sha256(f"{function_arn}:{role_arn}".encode()).hexdigest()[:16].upper()


def parts(operation: str, body: dict):
    """The accesses of one call: action, partition key, index. A transaction is allowed by what its parts are allowed by."""
    pk = lambda item: item["pk"]["S"]
    match operation:
        case "GetItem" | "UpdateItem" | "DeleteItem":
            yield operation, pk(body["Key"]), ""
        case "PutItem":
            yield operation, pk(body["Item"]), ""
        case "Query":
            value = re.match(r"\s*\S+\s*=\s*(:\w+)", body["KeyConditionExpression"]).group(1)
            yield operation, body["ExpressionAttributeValues"][value]["S"], body.get("IndexName", "")
        case "BatchGetItem":
            for wanted in body["RequestItems"].values():
                for key in wanted["Keys"]:
                    yield operation, pk(key), ""
        case "BatchWriteItem":
            for requests in body["RequestItems"].values():
                for request in requests:
                    put, delete = request.get("PutRequest"), request.get("DeleteRequest")
                    yield operation, pk(put["Item"] if put else delete["Key"]), ""
        case "TransactWriteItems":
            for item in body["TransactItems"]:
                for kind, what in item.items():
                    action = "ConditionCheckItem" if kind == "ConditionCheck" else f"{kind}Item"
                    yield action, pk(what["Item"] if kind == "Put" else what["Key"]), ""
        case _:
            yield operation, "?", ""


def statements(template: dict, function_name: str) -> list[dict]:
    """What the role of a function allows, as the template says it."""
    resources = template["Resources"]
    function = next(r for r in resources.values()
                    if r["Type"] == "AWS::Lambda::Function" and r["Properties"]["FunctionName"] == function_name)
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    return [
        statement
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"]["Roles"]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


def allowed(access: Access, policy: list[dict]) -> bool:
    """Whether one of the statements allows this access, keys included."""
    for statement in policy:
        actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
        indexes = [match.group(1) for r in resources if (match := re.search(r"/index/([\w-]+)", json.dumps(r)))]
        here = access.index in indexes if access.index else len(indexes) < len(resources)
        patterns = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
        fits = patterns is None or any(fnmatch.fnmatchcase(access.partition, pattern) for pattern in as_list(patterns))
        if f"dynamodb:{access.action}" in actions and here and fits:
            return True
    return False


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]
