"""The drill is drilled in the lab: a seeded tenth of the faults, and clean drills; `make mutation` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.mutation import FRESH, Ground
from lab.state import Lab

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
TENTH = 14


@pytest.fixture
def ground(lab: Lab, tmp_path: Path) -> Ground:
    """The lab's world with points of its own."""
    made = Ground(lab.directory, tmp_path)
    made.prepare(documents=30, tenants=2)
    return made


def test_a_seeded_tenth_of_the_faults_is_caught_and_clean_drills_give_no_alarm(ground: Ground) -> None:
    # a document that nobody wrote looks like one that was deleted since, but to the database as it was: minutes ago, in the lab
    report = ground.campaign(*FRESH)
    assert (report["planted"], report["missed"]) == (1, []), report["items"]
    report = ground.campaign("--faults", str(TENTH), "--seed", "6", "--clean", "1")
    assert (report["missed"], report["false_alarms"]) == ([], []), report["items"]
    assert report["complete"]
    assert {item["component"] for item in report["items"]} == {"appdata", "audit", "cluster", "config"}  # type: ignore[attr-defined]
