"""A lab of a test's own with a filled database: what is written, what is lost, what a database holds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dr.components.appdata.contents import database_items
from dr.model.ids import SourceId
from dr.vendors.firestore import Firestore
from dr.vendors.firestore_operations import Operation
from dr.vendors.google import GoogleAccess
from lab import lifecycle
from lab.state import Lab
from tests.lab.command import ROOT, Dr

SOURCE = SourceId("appdata", "firestore", "energent-metadata-production")
WRITES_DEADLINE_S = 60


def reached(there: Callable[[datetime], bool]) -> datetime:
    """The instant at which it holds: at most one minute away."""
    deadline = time.monotonic() + 61
    while not there(now := datetime.now(UTC)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return now


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab of its own with a filled database."""

    dr: Dr
    lab: Path
    witness: Path

    def strike(self, name: str, *more: str) -> str:
        """The instant of the disaster."""
        answer = self.dr.module("lab", "disaster", name, "--dir", str(self.lab), *more)
        assert answer.code == 0, answer.err
        return str(json.loads(answer.out)["at"])

    def write(self, count: int) -> None:
        """That many more acknowledged writes, recorded by the writer."""
        goal = self.witness.read_bytes().count(b"\n") + count
        argv = [sys.executable, "-m", "lab.energent", "write", "--lab", str(self.lab), "--out", str(self.witness)]
        writer = subprocess.Popen([*argv, "--only", "firestore"], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + WRITES_DEADLINE_S
            while self.witness.read_bytes().count(b"\n") < goal:
                assert time.monotonic() < deadline, "the writer does not write"
                time.sleep(0.05)
        finally:
            writer.terminate()
            assert writer.wait(30) == 0

    @property
    def acknowledged(self) -> dict[str, str]:
        """By the writer's record: the newest content of each document that was not deleted."""
        entries = map(json.loads, self.witness.read_text().splitlines())
        newest = {entry["path"]: entry["sha256"] for entry in entries if entry["source"] == str(SOURCE)}
        return {path: sha256 for path, sha256 in newest.items() if sha256}

    def firestore(self, identity: str) -> Firestore:
        """Firestore as that identity sees it."""
        lab = Lab.load(self.lab)
        endpoint = lab.endpoints["firestore"]
        return Firestore(GoogleAccess(lab.key(identity), firestore_endpoint=endpoint, ca_file=lab.ca))

    def contents(self, api: Firestore, database: str) -> dict[str, str]:
        """Path -> hash of the canonical content."""
        return dict(database_items(api, Lab.load(self.lab).project, database))

    def operations(self, api: Firestore, database: str) -> Counter[str]:
        """How many operations of each kind Firestore remembers of a database."""
        return Counter(operation.kind for operation in api.operations(Lab.load(self.lab).project, database))

    def exports(self) -> list[Operation]:
        """All export operations of the production database."""
        lab = Lab.load(self.lab)
        found = self.firestore("capture").operations(lab.project, lab.database)
        return [operation for operation in found if operation.kind == "ExportDocuments"]


@contextmanager
def staged(home: Path, documents: int = 300, **options: str) -> Iterator[Stage]:
    """`options` of the lab, `_` for `-`. A strategy that stands in `home` already is taken."""
    directory, witness = home / "lab", home / "witness.jsonl"
    wanted = {name.replace("_", "-"): value for name, value in options.items()}
    lifecycle.up(lifecycle.Wish(directory, "data", options=wanted))
    try:
        dr = Dr(directory, home)
        size = ("--tenants", "3", "--documents", str(documents))
        filled = dr.module(
            "lab.energent", "fill", "--lab", str(directory), *size, "--only", "firestore", "--witness", str(witness)
        )
        assert filled.code == 0, filled.err
        dr.fine("init", "--repositories")
        yield Stage(dr, directory, witness)
    finally:
        lifecycle.down(directory)
