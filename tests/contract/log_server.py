"""The lab's Cloud Logging as a process, reached as the product does."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

from dr.vendors.entries import LogEntries
from dr.vendors.google import GoogleAccess
from dr.vendors.sinks import Sinks
from lab.cloudlog.book import LogBook
from lab.energent.audit import audit_entry
from tests.contract.kms_server import start_lab
from tests.contract.storage_server import PROJECT, Lab, spawn, stop

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)


def entry(number: int, at: datetime, **more: object) -> dict[str, Any]:
    """An audit entry of the lab's world, of the log that everybody may read who may read entries."""
    made = audit_entry(random.Random(number), PROJECT, number, "t", at)
    return {**made, "logName": f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity", **more}


@dataclass
class LogServer:
    """One process with a quota of its own; what is written is written by us."""

    lab: Lab
    directory: Path
    per_minute: int = 60
    process: Popen[str] | None = None
    port: int = 0
    written: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> LogServer:
        certificate, key = map(str, self.lab.certificate)
        flags = ["--iam", str(self.lab.directory), "--cert", certificate, "--key", key, "--port", str(self.port)]
        flags += ["--log", str(self.directory / "entries.db"), "--lists-per-minute", str(self.per_minute)]
        self.process, ready = spawn("lab.tokens", *flags)
        self.port = int(ready["port"])
        return self

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)
            self.process = None

    def write(self, *entries: dict[str, Any]) -> None:
        book = LogBook(self.directory / "entries.db")
        book.write([json.dumps(one, ensure_ascii=False).encode() for one in entries])
        book.close()
        self.written += entries

    def access(self, identity: str) -> GoogleAccess:
        key = self.lab.iam.key_file(identity)
        return GoogleAccess(key, logging_endpoint=f"127.0.0.1:{self.port}", ca_file=self.lab.ca.certificate)

    def entries(self, identity: str = "restore") -> LogEntries:
        return LogEntries(self.access(identity))

    def sinks(self, identity: str = "restore") -> Sinks:
        return Sinks(self.access(identity))

    def post(self, body: object, identity: str = "restore") -> tuple[int, dict[str, Any]]:
        """As any client: (status, answer)."""
        url = f"https://127.0.0.1:{self.port}/v2/entries:list"
        answer = self.lab.session(identity).post(url, json=body, timeout=20)
        return answer.status_code, answer.json()


def start_server(directory: Path, **more: int) -> LogServer:
    """With a lab of its own, whose token server is another process."""
    lab = start_lab(directory / "lab")
    (directory / "log").mkdir()
    return LogServer(lab, directory / "log", **more).start()


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
