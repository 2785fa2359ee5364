"""The audit row in the lab: what Pub/Sub acknowledged is archived once, whoever dies; and comes back from the vault alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from dr.app.core import App, open_app
from dr.changelog import LogReader
from dr.components.audit.entry import QUARANTINE, fingerprint
from lab import lifecycle
from lab.energent.audit import Publisher
from lab.energent.store import Target
from lab.energent.witness import AUDIT_SOURCE
from lab.stage import lab_strategy
from lab.state import AUDIT_SINK, Lab
from tests.lab.command import ROOT, Dr

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.1)


@dataclass
class Follower:
    """`tests.lab.follow_audit` in a process of its own."""

    process: subprocess.Popen[str]
    counts: Counter[str] = field(default_factory=Counter)
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            told = json.loads(line)
            self.counts[told["kind"]] += told["count"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)
        self.reader.join()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.reader.join()


@dataclass(frozen=True, slots=True)
class Stage:
    """A data-plane lab, and `dr` with a strategy that has an audit source."""

    dr: Dr
    lab: Path
    witness: Path

    @property
    def app(self) -> App:
        environment = self.dr.environment
        return open_app(environment["DR_CONFIG"], environment["DR_STRATEGY"], "restore", environ=environment)

    def log(self) -> LogReader:
        app = self.app
        (spec,) = app.specs(["audit"])
        return LogReader(app.vault("audit"), spec.id)

    def follow(self) -> Follower:
        argv = [sys.executable, "-m", "tests.lab.follow_audit"]
        process = subprocess.Popen(argv, cwd=ROOT, env=self.dr.environment, stdout=subprocess.PIPE, text=True)
        return Follower(process)

    @contextmanager
    def following(self) -> Iterator[Follower]:
        follower = self.follow()
        try:
            yield follower
            follower.stop()
        finally:
            follower.process.kill()

    @contextmanager
    def writing(self, rate: int) -> Iterator[None]:
        argv = [sys.executable, "-m", "lab.energent", "write", "--lab", str(self.lab), "--out", str(self.witness)]
        more = ("--only", "audit", "--audit-rate", str(rate))
        writer = subprocess.Popen([*argv, *more], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert writer.stdout
            assert writer.stdout.readline().startswith("READY")
            yield
        finally:
            writer.terminate()
            assert writer.wait(30) == 0
            assert writer.stdout
            writer.stdout.close()

    def acknowledged(self) -> dict[str, str]:
        found = map(json.loads, self.witness.read_text().splitlines())
        return {entry["path"]: entry["sha256"] for entry in found if entry["source"] == AUDIT_SOURCE}

    def publish(self, *datas: bytes) -> None:
        lab = Lab.load(self.lab)
        reached = Target(lab.endpoints["pubsub"], lab.project, "", lab.key("logging-agent"), lab.ca)
        publisher = Publisher(reached, f"projects/{lab.project}/topics/{AUDIT_SINK}")
        for data in datas:
            publisher.publish([data])

    def archived(self) -> Counter[tuple[str, str]]:
        """(key, hash of the entry) and how often it stands in the log."""
        entries = (one for one in self.log().entries() if not one.key.startswith(QUARANTINE))
        return Counter((one.key, fingerprint(one.data["entry"])) for one in entries)  # type: ignore[arg-type]

    def strike(self, name: str, *more: str) -> str:
        answer = self.dr.module("lab", "disaster", name, "--dir", str(self.lab), *more)
        assert answer.code == 0, answer.err
        return str(json.loads(answer.out)["at"])


def audit_strategy() -> str:
    """The lab's table; an idle log says so every second."""
    table = yaml.safe_load(lab_strategy(1.0))
    for row in table["objectives"]:
        if row["component"] == "audit":
            row["sources"][0]["options"]["heartbeat"] = "1s"
    return yaml.safe_dump(table, sort_keys=False)


@contextmanager
def audit_stage(home: Path, strategy: str) -> Iterator[Stage]:
    """A data-plane lab of its own under `home`, with that strategy and an empty record."""
    (home / "strategy.yaml").write_text(strategy)
    lifecycle.up(lifecycle.Wish(home / "lab", "data"))
    try:
        dr = Dr(home / "lab", home)
        dr.fine("init", "--repositories")
        (home / "witness.jsonl").touch()
        yield Stage(dr, home / "lab", home / "witness.jsonl")
    finally:
        lifecycle.down(home / "lab")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with audit_stage(tmp_path, audit_strategy()) as made:
        yield made


def test_published_is_archived_once_whoever_dies_and_comes_back_from_the_vault_alone(stage: Stage) -> None:
    poison = (
        b"\xff not json",
        b"{}",
        b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"' + b"x" * 9_000_000 + b'"}',
    )
    with stage.writing(rate=200):
        for turn in range(3):  # kill -9 in the middle of the work
            follower = stage.follow()
            eventually(lambda follower=follower: follower.counts["durable"] >= 100)  # type: ignore[misc]
            stage.publish(poison[turn])
            follower.kill()
        with stage.following() as follower:
            eventually(lambda: follower.counts["durable"] >= 200)
    with stage.following():
        wanted = set(stage.acknowledged().items())
        eventually(lambda: wanted <= set(stage.archived()), 120)
        eventually(lambda: len(list(stage.app.vault("audit").list(QUARANTINE))) == len(poison))
        # everything that was not acknowledged before a kill came again: nothing stands there twice
        doubled = {key: times for key, times in stage.archived().items() if times > 1}
        assert doubled == {}
        assert set(stage.archived()) == wanted
        packed = stage.dr.fine("backup", "audit", "-o", "json").items[0]
    assert packed["result"] == "committed"
    verified = stage.dr.fine("audit", "verify", "-o", "json").items[0]
    assert (verified["entries"], verified["quarantined"]) == (len(wanted) + len(poison), len(poison))

    struck = stage.strike("audit-store-lost")
    drill = stage.dr.fine(
        "drill", "run", "audit", "--disaster-at", struck, "--witness", str(stage.witness), "-o", "json"
    )
    (row,) = [item for item in drill.items if (item["component"], item["domain"]) == ("audit", "source")]
    assert row["verdict"] == "0 lost, not guaranteed", row["findings"]
    assert (row["rpo"]["writes_lost"], row["rpo"]["acknowledged"]) == (0, len(wanted))
    refused = stage.dr.fine("audit", "query", "--text", "PERMISSION_DENIED", "-o", "jsonl").out.splitlines()
    assert 0 < len(refused) < len(wanted)
    assert all(json.loads(line)["protoPayload"]["status"]["code"] == 7 for line in refused)
    assert stage.dr("check", "-o", "json").code != 0, "a subscription that is gone is no good news"

    stage.strike("vault-artefact-damaged", "--point", packed["point"]["name"], "--artefact", "*changes.zst", "--forge")
    stage.dr("audit", "verify").refused(7, "changes.zst")
