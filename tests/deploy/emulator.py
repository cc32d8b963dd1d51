"""MiniStack as a process, and clients for it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, ready, seconds: float, pause: float = 0.5):
    """The first answer of `ready` that is true; fails with the last answer after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status < 500
    except OSError:
        return False


class Emulator:
    """MiniStack on a free port of 127.0.0.1. It enforces IAM (`AUTH`), and functions reach AWS through `proxy_port`."""

    def __init__(self, work: Path, port: int, proxy_port: int):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.log = work / "ministack.log"
        environment = {
            **os.environ,
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "TMPDIR": str(work),
        }
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ministack")],
            env=environment,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            cwd=work,
        )
        wait_for("MiniStack starts", lambda: answers(f"{self.endpoint}/_ministack/health"), 60)

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"}),
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
