"""Bad input: one clear sentence, the right exit code, no traceback, nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import lifecycle
from tests.lab.command import Dr

pytestmark = pytest.mark.lab
NOW_ISH = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("bad") / "lab"
    lifecycle.up(lifecycle.Wish(home, "data", options={"snapshot-granularity": "1"}))
    try:
        yield home
    finally:
        lifecycle.down(home)


@pytest.fixture
def dr(directory: Path, tmp_path: Path) -> Dr:
    return Dr(directory, tmp_path)


def changed(dr: Dr, **keys: object) -> Dr:
    """The same command line with other settings."""
    settings = yaml.safe_load((dr.lab / "dr.yaml").read_text())
    for name in ("caFile",):
        settings[name] = str(dr.lab / settings[name])
    settings["credentials"] = {name: str(dr.lab / path) for name, path in settings["credentials"].items()}
    settings["kubernetes"] = {name: str(dr.lab / path) for name, path in settings["kubernetes"].items()}
    settings |= keys
    path = dr.work / "changed.yaml"
    path.write_text(yaml.safe_dump(settings))
    return dr.with_(DR_CONFIG=str(path))


def test_an_api_that_does_not_answer(dr: Dr) -> None:
    silent = changed(dr, endpoints={"storage": "https://127.0.0.1:9", "firestore": "127.0.0.1:9"})
    silent("points", "list", "--fresh").refused(1, "127.0.0.1")


def test_credentials_that_are_none(dr: Dr, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    changed(dr, credentials={"capture": str(wrong), "restore": str(wrong)})("points", "list", "--fresh").refused(
        2, "wrong.json"
    )


def test_an_identity_without_permission(dr: Dr) -> None:
    app = changed(dr, credentials={"capture": str(dr.lab / "keys/app.json"), "restore": str(dr.lab / "keys/app.json")})
    app("points", "list", "--fresh").refused(4, "app@", "storage.objects.get")


def test_a_bucket_that_does_not_exist(dr: Dr) -> None:
    missing = changed(dr, control="gs://no-such-bucket")
    missing("drill", "list").refused(1, "no-such-bucket")


def test_a_component_that_does_not_exist(dr: Dr) -> None:
    dr("backup", "mainframe").refused(2, "mainframe", "cluster, appdata")


def test_a_row_that_is_not_captured_yet(dr: Dr) -> None:
    table = yaml.safe_load((dr.work / "strategy.yaml").read_text())
    del next(row for row in table["objectives"] if row["component"] == "audit")["sources"]
    (dr.work / "strategy.yaml").write_text(yaml.safe_dump(table))
    dr("backup", "audit").refused(2, "audit is not captured yet")


def test_a_database_that_does_not_exist(dr: Dr) -> None:
    table = yaml.safe_load((dr.work / "strategy.yaml").read_text())
    table["objectives"][1]["sources"][0]["options"]["database"] = "no-such-database"
    (dr.work / "strategy.yaml").write_text(yaml.safe_dump(table))
    dr("backup", "appdata").refused(1, "no-such-database")
    assert dr.fine("points", "list", "--fresh", "-o", "name").out == ""


def test_an_instant_before_the_first_point_offers_the_nearest(dr: Dr) -> None:
    dr.fine("init", "--repositories")
    dr.fine("backup", "appdata")
    args = (
        "restore",
        "plan",
        "--point-in-time",
        "2001-01-01T00:00:00Z",
        "--component",
        "appdata",
        "--domain",
        "source",
    )
    dr(*args).refused(2, "before the first point", "nearest")
    dr("restore", "plan", "--point-in-time", "2999-01-01T00:00:00Z", "--component", "appdata").refused(
        2, "in the future"
    )


def test_a_target_that_exists(dr: Dr) -> None:
    dr.fine("init", "--repositories")
    dr.fine("backup", "appdata")
    point = dr.fine("points", "list", "--fresh", "-o", "json").items[-1]
    args = ("--point-in-time", point["as_of"], "--component", "appdata", "--domain", "source")
    dr.fine("restore", *args, "--auto-approve")
    dr("restore", "plan", *args).refused(2, "exists")


def test_a_restore_over_budget_writes_nothing(dr: Dr) -> None:
    dr("backup", "appdata", "--max-cost", "-1").refused(2, "--max-cost")


def test_a_plan_from_another_strategy_or_a_newer_format(dr: Dr, tmp_path: Path) -> None:
    dr.fine("init", "--repositories")
    dr.fine("backup", "appdata")
    saved = tmp_path / "plan.json"
    args = ("restore", "plan", "--point-in-time", "2099-01-01T00:00:00Z")
    point = dr.fine("points", "list", "--fresh", "-o", "json").items[-1]
    args = ("restore", "plan", "--point-in-time", point["committed"], "--component", "appdata", "--domain", "source")
    dr.fine(*args, "--out", str(saved))
    dr(*args, "--out", str(saved)).refused(2, "exists")
    body = json.loads(saved.read_text())
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps(body | {"format": 99}))
    dr("restore", "apply", str(newer)).refused(1, "format 99")
    cut = tmp_path / "cut.json"
    cut.write_text(saved.read_text()[:-20])
    dr("restore", "apply", str(cut)).refused(7, "damaged")
    with (dr.work / "strategy.yaml").open("a") as file:
        file.write("# another\n")
    dr("restore", "apply", str(saved)).refused(1, "strategy changed")


def test_not_approved_means_not_done(dr: Dr) -> None:
    dr.fine("init", "--repositories")
    dr.fine("backup", "appdata")
    begun = len(dr.fine("restore", "status", "-o", "json").items)
    point = dr.fine("points", "list", "--fresh", "-o", "json").items[-1]
    args = ("restore", "--point-in-time", point["committed"], "--component", "appdata", "--domain", "source")
    dr(*args, stdin="y\n").refused(2, "not approved")
    assert len(dr.fine("restore", "status", "-o", "json").items) == begun
