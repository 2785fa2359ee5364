"""A drill of the audit row as a CronJob runs it: no writer's record, Cloud Logging itself says what there was."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.plan.permissions import READ_ENTRIES
from lab import lifecycle
from lab.cloudlog.book import LogBook
from lab.energent.audit import audit_entry
from lab.iam import Iam
from lab.state import Lab
from tests.lab.command import Dr
from tests.lab.test_audit import Stage, audit_strategy, eventually

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The lab's sink sends at once: everything until the disaster is judged."""
    table = yaml.safe_load(audit_strategy())
    for row in table["objectives"]:
        if row["component"] == "audit":
            row["sources"][0]["options"]["sinkDelay"] = "0s"
    (tmp_path / "strategy.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    lifecycle.up(lifecycle.Wish(tmp_path / "lab", "data"))
    try:
        dr = Dr(tmp_path / "lab", tmp_path)
        dr.fine("init", "--repositories")
        (tmp_path / "witness.jsonl").touch()
        yield Stage(dr, tmp_path / "lab", tmp_path / "witness.jsonl")
    finally:
        lifecycle.down(tmp_path / "lab")


def drilled(stage: Stage, code: int) -> Mapping[str, Any]:
    """The audit row of a drill without a record, whose disaster is now."""
    answer = stage.dr("drill", "run", "audit", "-o", "json")
    assert answer.code == code, (answer.code, [item for item in answer.items if item["verdict"] != "not drilled"])
    (row,) = [item for item in answer.items if (item["component"], item["domain"]) == ("audit", "source")]
    return row


def test_a_scheduled_drill_judges_the_audit_row_by_what_cloud_logging_holds(stage: Stage) -> None:
    with stage.following():
        eventually(lambda: stage.log().head().watermark)  # what was there before the log began is not asked for
        with stage.writing(rate=50):
            eventually(lambda: len(stage.acknowledged()) >= 100)
        written = stage.acknowledged()
        row = drilled(stage, 0)
        assert row["verdict"] == "0 lost, not guaranteed", row["findings"]
        assert (row["rpo"]["writes_lost"], row["rpo"]["acknowledged"]) == (0, len(written))
        assert (row["rpo"]["at_least"], row["rpo"]["witness"]) == (True, "living source")

        lab = Lab.load(stage.lab)
        iam = Iam.open(stage.lab)
        for permission in READ_ENTRIES:
            iam.revoke("restore", permission, f"projects/{lab.project}")
            stage.dr("check", "--pre", "--component", "audit").refused(1, permission)
            stage.dr("check", "--component", "audit").refused(1, permission)
            iam.grant("restore", [permission], f"projects/{lab.project}")

        book = LogBook(lab.cloud_log)
        unsent = audit_entry(random.Random(1), lab.project, 1, "unsent", datetime.now(UTC))
        assert book.write([json.dumps(unsent).encode()]) == 1
        book.close()
        row = drilled(stage, 6)
        assert (row["verdict"], row["rpo"]["writes_lost"]) == ("missed", 1), row
        assert row["rpo"]["acknowledged"] == len(written) + 1

        iam.revoke("restore", READ_ENTRIES[0], f"projects/{lab.project}")
        row = drilled(stage, 1)
        assert row["verdict"] == "failed"
        assert READ_ENTRIES[0] in " ".join(row["findings"])
