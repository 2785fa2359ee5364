"""Who was erased does not come back: not in a drill's copy, not in a real restore, from neither history nor export."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dr.model.timeline import format_instant
from tests.lab.staged import Stage, staged

pytestmark = pytest.mark.lab


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, documents=60, snapshot_granularity="1") as made:
        yield made


def check(row: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in row["checks"] if one["name"] == name]
    return dict(found)


def test_an_erased_tenant_stays_erased(stage: Stage) -> None:
    dr = stage.dr
    stage.write(10)
    dr.fine("backup", "appdata")
    dr("erasure", "add", "tenants/t-001/jobs", "--why", "x").refused(2, "is a collection")
    added = dr.fine("erasure", "add", "tenant:t-001", "--why", "request 1", "-o", "json").items
    again = dr.fine("erasure", "add", "t-001", "--why", "request 1 again", "-o", "json").items
    assert added == again
    assert "tenant:t-001" in [item["subject"] for item in dr.fine("erasure", "list", "-o", "json").items]

    drilled = dr.fine("drill", "run", "appdata", "-o", "json")
    rows = [row for row in drilled.items if row["component"] == "appdata" and row["verdict"] == "met"]
    assert len(rows) == 2, "from history and from the export"
    for row in rows:
        found = check(row, "erased subjects")
        assert found["passed"]
        assert " 0 documents" not in found["detail"]
        assert row["rpo"]["writes_lost"] == 0, "what was erased is no loss"

    now = format_instant(datetime.now(UTC))
    asked = ("--point-in-time", now, "--component", "appdata", "--domain", "source", "--auto-approve", "-o", "json")
    (restored,) = dr.fine("restore", *asked).items
    steps = [step["step"] for step in restored["steps"]]
    assert restored["state"] == "done"
    assert steps.index("erase") < steps.index("serve")
