"""The deployment, end to end on one machine: both synthesised templates on an AWS emulator that runs the real function
binaries, with simulated scanners, tracker and chat around it. README.md says what is proven here and what is not.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from cloud_assembly import Assembly, name_permissions
from emulator import REGION, Emulator, answers, free_port, wait_for
from recorder import Recorder, allowed, statements

ROOT = Path(__file__).resolve().parents[2]
STATEFUL, FUNCTIONS = "vulnrelay-stateful", "vulnrelay-functions"
# A first import with its schedule, its scoring, its messages.
PATIENCE = 420


def step(text: str):
    print(f"-- {text}", flush=True)


class Simulator:
    """The outside systems, as `vulnrelay simulate` serves them."""

    def __init__(self, command: Path, work: Path, hosts: int):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        printed = work / "simulated.yaml"
        self.process = subprocess.Popen(
            [str(command), "simulate", "--port", str(self.port), "--size", str(hosts)],
            stdout=printed.open("w"),
            stderr=(work / "simulator.log").open("w"),
        )
        wait_for("the simulators start", lambda: answers(f"{self.url}/received"), 60)
        self.config = printed.read_text()

    def alive(self) -> bool:
        assert self.process.poll() is None, f"the simulators ended with {self.process.returncode}"
        return True

    def received(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/received", timeout=10) as response:
            return json.load(response)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


def simulated_secret(name: str) -> str:
    """The public credentials of the simulated systems, by the name that the configuration gives them."""
    if name.startswith("SIMULATED_SLACK_URL_"):
        port = name.removeprefix("SIMULATED_SLACK_URL_")
        return f"http://127.0.0.1:{port}/slack/services/T0SIMULATE/B0SIMULATE/simulatedslackwebhooksecret"
    return {
        "SIMULATED_TENABLE_ACCESS_KEY": "sim-access",
        "SIMULATED_TENABLE_SECRET_KEY": "sim-secret",
        "SIMULATED_QUALYS_USER": "sim-user",
        "SIMULATED_QUALYS_PASSWORD": "sim-pass",
        "SIMULATED_NESSUS_ACCESS_KEY": "sim-access",
        "SIMULATED_NESSUS_SECRET_KEY": "sim-secret",
        "SIMULATED_INSIGHTVM_KEY": "sim-insightvm-key",
        "SIMULATED_INSIGHTVM_CONSOLE_USER": "sim-console",
        "SIMULATED_INSIGHTVM_CONSOLE_PASSWORD": "sim-pass",
        "SIMULATED_JIRA_EMAIL": "sim@example.com",
        "SIMULATED_JIRA_TOKEN": "sim-token",
        "SIMULATED_WEBHOOK_SECRET": "simulated-webhook-secret",
    }[name]


def deployment_config(simulated: str) -> str:
    """What the simulators print, with the shortest intervals that a schedule on AWS can have, and the names that the
    samples in events/ use."""
    # Bulk Export is another mode of a function that is there; it is pulled in tests/e2e.
    one_each = re.sub(r"  - name: insightvm-bulk[^\n]*\n(?:    [^\n]*\n)*", "", simulated)
    # Two scanners are pulled by their schedules, the others when their sample is sent.
    rare = re.compile(r"(  - name: (?:console|nessus|insightvm)[^\n]*\n(?:    [^\n]*\n)*?    sync_interval: )1h")
    quick = rare.sub(r"\g<1>1d", one_each).replace("sync_interval: 1h", "sync_interval: 1m").replace("interval: 6h", "interval: 1m")
    assert quick.count("interval: 1m") >= 3 and quick.count("sync_interval: 1d") == 3, "the printed configuration has other intervals than this test changes"
    named = quick.replace("-demo", "-prod").replace("connectors:\n", "connectors:\n  - name: aws-prod\n    type: aws\n", 1)
    assert "qualys-prod" in named and "aws-prod" in named, "the printed configuration has other names than the samples"
    return named


def synthesise(work: Path, config: str, binaries: Path, name: str) -> Assembly:
    """`cdk synth`, as a user runs it. The emulator knows no budgets, and its API has no TLS, which signing in needs: both
    are settings."""
    (work / "connectors.yaml").write_text(config)
    (work / "deployment.yaml").write_text(
        "budget: { monthly_usd: 0 }\narchitecture: x86_64\napi: { public_url: https://vulnrelay.example.com }\n"
    )
    out = work / name
    arguments = [f"config={work}/connectors.yaml", f"deployment={work}/deployment.yaml", f"binaries={binaries}"]
    command = ["npx", "cdk", "synth", "--quiet", "--output", str(out)]
    for argument in arguments:
        command += ["-c", argument]
    done = subprocess.run(command, cwd=ROOT / "infra", capture_output=True, text=True, env={**os.environ, "CDK_VALIDATION": "false"})
    assert done.returncode == 0, done.stderr[-3000:]
    return Assembly(out)


def fill_secrets(emulator: Emulator, config: str) -> list[str]:
    """Puts the values into the secrets that the deployment created empty. Returns the values."""
    secrets = emulator.client("secretsmanager")
    document = yaml.safe_load(config)
    values = []
    for owner in [o for section in ("connectors", "channels", "trackers", "webhooks") for o in document.get(section, [])]:
        names = re.findall(r"\$\{([^}]+)\}", json.dumps(owner))
        if not names:
            continue
        secret = f"vulnrelay/{owner['name']}"
        assert secrets.get_secret_value(SecretId=secret)["SecretString"] == "{}", f"{secret} was not created empty"
        found = {name: simulated_secret(name) for name in names}
        secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(found))
        values += [value for name, value in found.items() if not name.endswith(("USER", "EMAIL"))]
    return values


class Api:
    """The HTTP API, reached as the emulator wants it: by its name in the `Host` header."""

    def __init__(self, address: str, port: int):
        self.host = urllib.parse.urlsplit(address).netloc
        self.url = f"http://127.0.0.1:{port}"
        self.token = ""

    def call(self, path: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers={"Host": self.host, **(headers or {})})
        opener = urllib.request.build_opener(NoRedirect)
        try:
            with opener.open(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def read(self, path: str) -> dict:
        status, text = self.call(path, headers={"Authorization": f"Bearer {self.token}"})
        assert status == 200, f"{path}: {status} {text[:300]}"
        return json.loads(text)

    def push(self, source: str, body: bytes, secret: str, at: int | None = None) -> int:
        at = at or int(time.time())
        signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "x-vulnrelay-timestamp": str(at),
            "x-vulnrelay-signature": f"sha256={signature}",
        }
        return self.call(f"/webhooks/{source}", body, headers)[0]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def logs(emulator: Emulator) -> dict[str, list[str]]:
    """Every line of every function's log."""
    client = emulator.client("logs")
    lines = {}
    for group in client.describe_log_groups(logGroupNamePrefix="/aws/lambda/vulnrelay-")["logGroups"]:
        name = group["logGroupName"]
        lines[name] = [
            event["message"]
            for page in client.get_paginator("filter_log_events").paginate(logGroupName=name)
            for event in page["events"]
        ]
    return lines


def check_doors(api: Api):
    for path in ("/api/overview", "/api/vulnerabilities", "/api/runs"):
        status, _ = api.call(path)
        assert status == 401, f"{path} without a token: {status}"
        status, _ = api.call(path, headers={"Authorization": "Bearer wrong"})
        assert status == 401, f"{path} with a wrong token: {status}"
    status, text = api.call("/")
    assert status != 200 or "vulnerabilit" not in text.lower(), f"the overview without a token: {status}"


def check_pushes(api: Api, emulator: Emulator, table: str, recorder: Recorder):
    source = "tenable-push"
    body = json.dumps({"scan": "finished", "at": time.time()}).encode()
    now = int(time.time())
    secret = simulated_secret("SIMULATED_WEBHOOK_SECRET")
    assert api.push(source, body, "not-the-secret") == 401, "a forged push"
    assert api.push(source, body, secret, at=now - 3600) == 401, "a push of an hour ago"
    assert api.call(f"/webhooks/{source}", body)[0] == 401, "an unsigned push"
    assert api.push("nobody", body, secret) == 404, "a push of an unknown source"
    assert pushes(emulator, table) == 0, "a refused push was remembered"
    assert api.push(source, body, secret, at=now) == 202, "a signed push"
    assert api.push(source, body, secret, at=now) == 202, "the same push again"
    assert pushes(emulator, table) == 1, "a push is remembered once"
    function = emulator.client("lambda").get_function_configuration(FunctionName="vulnrelay-webhook")
    sent = recorder.sent(function)
    assert [(m["connector"], m["start"]) for m in sent] == [("tenable-prod", "webhook")], f"a push starts one pull: {sent}"


def pushes(emulator: Emulator, table: str) -> int:
    pages = emulator.client("dynamodb").get_paginator("scan").paginate(
        TableName=table, FilterExpression="begins_with(pk, :p)", ExpressionAttributeValues={":p": {"S": "D#tenable-push#push-"}})
    return sum(page["Count"] for page in pages)


class CloudFormation:
    """Where a custom resource answers: the presigned address that CloudFormation names in its request."""

    def __init__(self):
        answered = self.answers = []

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                answered.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/answer?signature=one"


def invoke(emulator: Emulator, function: str, sample: Path):
    """Sends an event to a function with `cargo lambda invoke`. Returns what it answers."""
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
    command = [Path(sys.executable).parent / "cargo-lambda", "lambda", "invoke", "--remote", "--region", REGION]
    command += ["--endpoint-url", emulator.endpoint, "--output-format", "json", "--data-file", sample, f"vulnrelay-{function}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{sample.name}: {done.stderr[-2000:]}"
    return json.loads(done.stdout or "null")


def invoke_samples(emulator: Emulator) -> int:
    """Sends every sample of events/ to its function; each has one here. Returns how many there were."""
    folders = sorted(path.name for path in (ROOT / "functions").iterdir())
    deployed = {f["FunctionName"] for f in emulator.client("lambda").list_functions()["Functions"]}
    sent = 0
    for sample in sorted((ROOT / "events").glob("*.json")):
        function = max((name for name in folders if sample.stem.startswith(name)), key=len)
        # What it brings takes the place of the configuration: it has a step of its own.
        if function == "configure":
            continue
        assert f"vulnrelay-{function}" in deployed, f"{sample.name} has no function in the deployment of this test"
        answer = invoke(emulator, function, sample)
        if isinstance(answer, dict):
            assert not answer.get("batchItemFailures"), f"{sample.name}: {answer}"
            # The sample of a push was signed long ago, and that of a page knows no token.
            assert answer.get("statusCode", 401) == 401 and "errorMessage" not in answer, f"{sample.name}: {answer}"
        sent += 1
    return sent


def invoke_configure(emulator: Emulator, work: Path):
    """Sends the sample of the configuration as CloudFormation would, whole and spoiled, and reads what is answered there."""
    cloudformation = CloudFormation()
    sample = json.loads((ROOT / "events/configure.json").read_text())
    sample["ResponseURL"] = cloudformation.address
    event = work / "configure.json"
    spoiled = {**sample["ResourceProperties"], "Document": "connectors:\n  - name: qualys-prod\n    type: abacus\n"}
    for properties in (sample["ResourceProperties"], spoiled):
        event.write_text(json.dumps({**sample, "ResourceProperties": properties}))
        invoke(emulator, "configure", event)
    stored, refused = cloudformation.answers
    assert stored["Status"] == "SUCCESS" and stored["RequestId"] == sample["RequestId"], stored
    assert refused["Status"] == "FAILED" and "abacus" in refused["Reason"] and "connectors.yaml" in refused["Reason"], refused


def check_permissions(recorder: Recorder, emulator: Emulator, assembly: Assembly) -> int:
    assert not recorder.denied, recorder.denied[0]
    functions = emulator.client("lambda").list_functions()["Functions"]
    template = assembly.template(FUNCTIONS)
    accesses = recorder.accesses(functions)
    known = {f["FunctionName"] for f in functions}
    strangers = {access.function for access in accesses} - known
    assert not strangers, f"calls of nobody that was deployed: {strangers}"
    policies = {name: statements(template, name) for name in known}
    denied = sorted({(a.function, a.action, a.index or re.sub("#.*", "#", a.partition)) for a in accesses if not allowed(a, policies[a.function])})
    assert not denied, f"these would be denied on AWS: {denied}"
    # And the other way round: the check itself can say no.
    foreign = next(a for a in accesses if a.partition.startswith("A#"))
    assert not allowed(foreign, policies["vulnrelay-webhook"]), "webhook may read assets"
    return len(accesses)


def check_logs(emulator: Emulator, secrets: list[str]) -> int:
    count = 0
    for group, lines in logs(emulator).items():
        for line in lines:
            count += 1
            leaked = [secret for secret in secrets if secret in line]
            assert not leaked, f"{group} holds a secret"
            assert not re.search(r"AccessDenied|not authorized to perform", line), f"{group}: {line[:600]}"
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target/lambda")
    parser.add_argument("--vulnrelay", type=Path, default=ROOT / "target/debug/vulnrelay")
    parser.add_argument("--hosts", type=int, default=12)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="vulnrelay-deploy-"))
    print(f"logs of the emulator and the simulators: {work}", flush=True)
    started = time.monotonic()
    running = []
    try:
        simulator = Simulator(options.vulnrelay.resolve(), work, options.hosts)
        running.append(simulator)
        config = deployment_config(simulator.config)

        step("synthesise")
        assembly = synthesise(work, config, options.binaries.resolve(), "first")

        step("deploy both stacks")
        port, proxy_port = free_port(), free_port()
        recorder = Recorder(proxy_port, port, work / "refusals.log")
        running.append(recorder)
        emulator = Emulator(work, port, proxy_port)
        running.append(emulator)
        assembly.bootstrap(emulator)
        table = next(v for k, v in assembly.deploy(emulator, STATEFUL).items() if k.startswith("ExportsOutputRefTable"))
        outputs = assembly.deploy(emulator, FUNCTIONS)
        name_permissions(emulator)
        api = Api(outputs["Webhooks"], port)

        step("fill the secrets")
        secrets = fill_secrets(emulator, config)
        # This one is made by Secrets Manager, and nowhere else.
        made = emulator.client("secretsmanager").get_secret_value(SecretId="vulnrelay/dashboard")["SecretString"]
        api.token = json.loads(made)["TOKEN"]

        step("doors are closed")
        check_doors(api)

        step("the schedules fire; the scanners are pulled")
        pulled = [c for c in yaml.safe_load(config)["connectors"] if c["type"] != "aws"]
        frequent = {c["name"] for c in pulled if c["sync_interval"] == "1m"}
        assert len(frequent) == 2, frequent
        wait_for("a complete run of each frequent connector", lambda: simulator.alive() and frequent <= completed(api, recorder), PATIENCE, pause=3)

        step("notification and ticket arrive")
        wait_for("a notification", lambda: simulator.received()["messages"], PATIENCE, pause=2)
        wait_for("a ticket", lambda: simulator.received()["tickets"], PATIENCE, pause=2)

        step("pushes: signed, forged, old, repeated")
        check_pushes(api, emulator, table, recorder)

        step("the pages show it")
        overview = api.read("/api/overview")
        listed = api.read("/api/vulnerabilities?owner=payments")
        status, page = api.call("/vulnerabilities", headers={"Authorization": f"Bearer {api.token}"})
        assert status == 200 and "CVE-" in page, f"the page of vulnerabilities: {status}"

        step("the timers were looked at")
        wait_for("sla runs by its schedule", lambda: any("timers looked at" in line for line in logs(emulator).get("/aws/lambda/vulnrelay-sla", [])), PATIENCE, pause=5)

        step("every sample event, by cargo lambda invoke")
        samples = invoke_samples(emulator)
        assert samples == len(list((ROOT / "events").glob("*.json"))) - 1, samples

        step("the samples of the other scanners have started their pulls")
        connectors = {c["name"] for c in pulled}
        wait_for("a complete run of each connector", lambda: simulator.alive() and connectors <= completed(api, recorder), PATIENCE, pause=3)

        step("nothing was denied, nothing leaked, nobody did more than its role allows")
        accesses = check_permissions(recorder, emulator, assembly)
        lines = check_logs(emulator, [*secrets, api.token])

        step("the sample of the configuration, by cargo lambda invoke")
        invoke_configure(emulator, work)

        step("deploy a changed configuration")
        changed = config.replace("messages_per_hour: 30", "messages_per_hour: 31")
        assert changed != config
        again = synthesise(work, changed, options.binaries.resolve(), "second")
        again.deploy(emulator, STATEFUL)
        again.deploy(emulator, FUNCTIONS)
        versions = emulator.client("dynamodb").query(
            TableName=table, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "P#config"}})["Items"]
        assert [item["sk"]["S"] for item in versions] == ["0000000001", "0000000002", "0000000003", "CURRENT"], versions
        kept = emulator.client("secretsmanager").get_secret_value(SecretId="vulnrelay/dashboard")["SecretString"]
        assert kept == made, "a deployment changed a secret"
        api.read("/api/overview")

        step("tear down: the table stays")
        cloudformation = emulator.client("cloudformation")
        for stack in (FUNCTIONS, STATEFUL):
            if stack == STATEFUL:
                cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
            cloudformation.delete_stack(StackName=stack)
            wait_for(f"{stack} is gone", lambda: gone(cloudformation, stack), 60)
        assert emulator.client("dynamodb").describe_table(TableName=table)["Table"]["ItemCount"] > 0

        received = simulator.received()
        print(json.dumps({
            "seconds": round(time.monotonic() - started),
            "open": overview["open"],
            "listed": len(listed["vulnerabilities"]),
            "messages": len(received["messages"]),
            "tickets": len(received["tickets"]),
            "samples_invoked": samples,
            "accesses_checked": accesses,
            "log_lines_checked": lines,
        }))
    finally:
        for one in reversed(running):
            one.stop()


def completed(api: Api, recorder: Recorder) -> set[str]:
    """The connectors that have a complete run."""
    assert not recorder.denied, recorder.denied[0]
    rows = api.read("/api/runs")["connectors"]
    return {row["name"] for row in rows for run in row["runs"] if run.get("verdict") == "complete"}


def gone(cloudformation, stack: str) -> bool:
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError:
        return True
    assert found != "DELETE_FAILED", f"{stack}: {found}"
    return found == "DELETE_COMPLETE"


if __name__ == "__main__":
    try:
        main()
    except AssertionError as failure:
        sys.exit(f"deploy: {failure}")
