"""Scenarios are validated; what a person mistypes is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.errors import DrError
from dr.model.drills import RowKey
from dr.model.strategy import FailureDomain
from dr.scenarios import load_scenario, parse_scenario, shipped

TEXT = """
kind: Scenario
metadata: {name: mine}
rows:
  - {component: appdata, domains: [source]}
"""


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_loads_under_its_own_name(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.why
    assert scenario.rows


def test_quarterly_covers_both_recovery_commands() -> None:
    rows = load_scenario("quarterly").rows
    assert RowKey("cluster", FailureDomain.SOURCE) in rows
    assert RowKey("appdata", FailureDomain.LOGICAL) in rows


def test_a_users_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    assert load_scenario(str(path)).rows == (RowKey("appdata", FailureDomain.SOURCE),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: Scenario", "kind: Scene", "kind must be Scenario"),
        ("rows:", "rowz:", "unknown key 'rowz'"),
        ("[source]", "[sauce]", r"rows\[0\]: 'sauce'"),
        ("[source]", "[source, source]", "twice"),
        ("component: appdata,", "", "must have component and domains"),
        ("metadata: {name: mine}", "metadata: {}", "metadata.name is missing"),
        ("rows:", "rows: [", "is not YAML"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(DrError, match=message):
        parse_scenario(TEXT.replace(old, new), "mine.yaml")


def test_an_unknown_name_offers_the_shipped_ones() -> None:
    with pytest.raises(DrError) as error:
        load_scenario("yearly")
    assert "quarterly" in error.value.hint
