"""Scenarios are validated; what a person mistypes is named."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from dr.errors import DrError
from dr.model.drills import Ask, Choice, RowKey
from dr.model.strategy import FailureDomain
from dr.scenarios import folder, load_scenario, parse_scenario, shipped
from dr.scenarios.schema import json_schema
from lab import strikes  # noqa: F401 - registers its disasters
from lab.disaster import disaster

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
        ("kind: Scenario", "kind: Scene", "mine.yaml:2: kind: should be 'Scenario'"),
        ("rows:", "rowz:", "mine.yaml:4: rowz: is not a known key"),
        ("[source]", "[sauce]", r"mine.yaml:5: rows\[0\].domains\[0\]: should be 'logical'"),
        ("[source]", "[source, source]", r"mine.yaml:5: rows\[0\]: appdata/source is written twice"),
        ("component: appdata,", "", r"mine.yaml:5: rows\[0\].component: is missing"),
        ("metadata: {name: mine}", "metadata: {}", "mine.yaml:3: metadata.name: is missing"),
        ("rows:", "rows: [", "mine.yaml:"),
        ("rows:", "points: newest\nrows:", "mine.yaml:4: points: should be 'requested', 'random' or 'clean'"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(DrError, match=message):
        parse_scenario(TEXT.replace(old, new), "mine.yaml")


def test_an_unknown_name_offers_the_shipped_ones() -> None:
    with pytest.raises(DrError) as error:
        load_scenario("yearly")
    assert "quarterly" in error.value.hint


CHECKED = (
    TEXT
    + """
checks:
  - name: tenants
    component: appdata
    firestore: {collection: tenants, where: [{field: state, op: in, value: [a, b]}], expect: {atLeast: 3}}
  - name: asks
    component: appdata
    timeout: 5s
    command: {run: [ask, "{database}"], expect: {exit: 3, output: "^ok"}}
"""
)


def test_checks_of_a_users_own() -> None:
    tenants, asks = parse_scenario(CHECKED, "mine.yaml").checks
    assert (tenants.kind, asks.kind) == (Ask.FIRESTORE, Ask.COMMAND)
    assert tenants.expects == {"atLeast": 3}
    assert asks.asks == {"run": ["ask", "{database}"]}
    assert asks.timeout.total_seconds() == 5
    assert tenants.looks_at(RowKey("appdata", FailureDomain.SOURCE))
    assert not tenants.looks_at(RowKey("cluster", FailureDomain.SOURCE))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    command: {run", "    http: {url: 'http://x/'}\n    command: {run", r"checks\[1\]: a check is one of"),
        ('"^ok"', '"^(ok"', r"checks\[1\].command.expect.output: .* is not a regular expression"),
        ("{atLeast: 3}", "{}", r"checks\[0\].firestore.expect: expect must say count"),
        ("value: [a, b]", "value: a", r"where\[0\]: a list goes with in"),
        ("name: asks", "name: tenants", r"checks\[1\]: 'tenants' is the name of two checks"),
        ("component: appdata\n    firestore", "component: cluster\n    firestore", r"checks\[0\]: a firestore check"),
        ("timeout: 5s", "timeout: 5s\n    domains: [region]", r"checks\[1\]: looks at no row of the scenario"),
        ("run: [ask", "run: [", "mine.yaml:"),
    ],
)
def test_mistakes_in_checks_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(DrError, match=message):
        parse_scenario(CHECKED.replace(old, new), "mine.yaml")


def test_the_shipped_schema_is_that_of_the_models_and_takes_what_is_shipped() -> None:
    kept = json.loads(resources.files("dr").joinpath("schemas/scenario.json").read_text())
    assert kept == json_schema(), "write it anew from dr.scenarios.schema.json_schema()"
    for path in folder().glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), kept)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kind": "Scenario", "metadata": {"name": "x"}, "rows": []}, kept)


def test_every_disaster_that_a_scenario_names_strikes_in_the_lab() -> None:
    named = {scenario.disaster for scenario in map(load_scenario, shipped()) if scenario.disaster}
    assert named <= set(disaster.commands)
    assert len(named) == 9


def test_each_row_has_its_own_small_drill_of_old_points_each_night() -> None:
    nightly = [scenario for scenario in map(load_scenario, shipped()) if scenario.every == "night"]
    assert {key.component for scenario in nightly for key in scenario.rows} == {"cluster", "appdata", "config", "audit"}
    assert all(len(scenario.rows) == 1 and scenario.choice is Choice.RANDOM for scenario in nightly)
