"""With production's own granularity: exports and the history's instants are whole minutes, and what that costs is said."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.components.appdata.contents import FirestoreWitness
from dr.model.strategy import Place, SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.run.clock import SystemClock
from dr.strategy import default_strategy_text
from dr.vendors.firestore_writes import Change, FirestoreDocuments
from lab.state import Lab
from tests.lab.killing import points_of
from tests.lab.staged import SOURCE, Stage, reached, staged

pytestmark = pytest.mark.lab
EARLY_S = 40
"""A lab that starts before this second of a minute is asked for its first backup within the same minute."""


def minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def next_minute() -> datetime:
    now = minute(datetime.now(UTC))
    return minute(reached(lambda then: minute(then) > now))


def test_whole_real_minutes(tmp_path: Path) -> None:
    table = default_strategy_text()
    assert "snapshotGranularity" not in table
    (tmp_path / "strategy.yaml").write_text(table)
    reached(lambda now: now.second < EARLY_S)
    with staged(tmp_path, documents=100) as stage:
        refused_while_young(stage)
        stage.write(5)
        turned = next_minute()
        stage.dr.fine("backup", "appdata")
        as_of = max(parse_instant(str(point["as_of"])) for point in points_of(stage.dr, SOURCE).values())
        assert as_of == minute(as_of) == turned
        stage.dr.fine("points", "verify")
        stage.write(10)
        struck = datetime.now(UTC)
        assert_planned(stage, struck, as_of)
        # in a minute that is over, the history goes beyond T: only its granularity keeps the restore to the whole minute
        next_minute()
        assert_planned(stage, struck, as_of)
        drilled_to_the_minute(stage, struck, as_of)
        recalled(stage, as_of)


def refused_while_young(stage: Stage) -> None:
    """No whole minute lies in a history that began in this one: nothing could be exported, and no point is made."""
    lab = Lab.load(stage.lab)
    found = stage.firestore("capture").database(lab.project, lab.database)
    assert found
    assert found.earliest
    answer = stage.dr("backup", "appdata")
    if minute(datetime.now(UTC)) > minute(found.earliest):
        warnings.warn("this machine was too slow to ask within the database's first minute", stacklevel=1)
        return
    answer.refused(1, "keeps history since", "whole 1m", "the first can be made at")
    assert points_of(stage.dr, SOURCE) == {}
    assert stage.exports() == []


def assert_planned(stage: Stage, at: datetime, instant: datetime) -> None:
    asked = ("--component", "appdata", "--point-in-time", format_instant(at))
    (planned,) = stage.dr.fine("restore", "plan", *asked, "-o", "json").items
    assert planned["method"] == "firestore-pitr"
    assert parse_instant(planned["instant"]) == instant


def recalled(stage: Stage, as_of: datetime) -> None:
    """What changed, was made or is gone since is told as it was then; of what was before the database nobody tells anything."""
    lab = Lab.load(stage.lab)
    spec = SourceSpec(SOURCE, Place(project=lab.project))
    witness = FirestoreWitness(stage.firestore("restore"), SystemClock())
    then = {item.path: item.sha256 for item in witness.read(spec, as_of)}
    now = {item.path: item.sha256 for item in witness.read(spec, datetime.now(UTC))}
    made = now.keys() - then.keys()
    changed, deleted = sorted(path for path in now.keys() & then.keys() if now[path] == then[path])[:2]
    documents = FirestoreDocuments(stage.firestore("operator"))
    found = {path: next(documents.below(lab.project, lab.database, path)) for path in (changed, deleted)}
    found[changed].fields["changed"].string_value = "since"
    documents.write(
        lab.project,
        lab.database,
        [
            Change(changed, found[changed].fields, found[changed].version),
            Change(deleted, None, found[deleted].version),
        ],
    )
    assert made
    wanted = {path: then[path] for path in (changed, deleted)}
    assert witness.recall(spec, [changed, deleted, *made], as_of) == wanted
    living = {item.path: item.sha256 for item in witness.read(spec, datetime.now(UTC))}
    assert living[changed] != then[changed]
    assert deleted not in living
    assert witness.recall(spec, [changed], as_of - timedelta(days=1)) is None


def drilled_to_the_minute(stage: Stage, struck: datetime, as_of: datetime) -> None:
    """What was written between the whole minute and T is lost, and measured as lost."""
    witnessed = ("--witness", str(stage.witness), "--disaster-at", format_instant(struck))
    drilled = stage.dr.fine("drill", "run", "appdata", *witnessed, "-o", "json").items
    rows = {row["domain"]: row for row in drilled if row["component"] == "appdata"}
    assert rows["logical"]["point"]["name"] == "firestore-pitr"
    for row in (rows["logical"], rows["source"]):
        assert row["verdict"] == "met", row["findings"]
        assert parse_instant(row["instant"]) == as_of
        assert row["rpo"]["writes_lost"] >= 5
        assert 0 < row["rpo"]["oldest_lost_s"] < 60
