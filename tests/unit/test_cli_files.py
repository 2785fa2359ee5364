"""The command line over `file://` repositories: what is damaged or newer is said in one sentence, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.model.ids import Slot
from dr.model.points import PointManifest
from dr.record.codec import encode
from dr.record.summary import metadata_of
from dr.stores.local import LocalStore
from tests.unit.fakes import DATABASE, T0, manifest

SETTINGS = """
apiVersion: dr/v1
kind: Settings
scope: staging
control: file://./control
vaults:
  cluster: {url: file://./cluster}
  appdata: {url: file://./appdata}
  config: {url: file://./config}
  audit: {url: file://./audit}
cacheDir: cache
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`dr ARGS` in an empty folder with prepared repositories: exit code, output, errors."""
    (tmp_path / "dr.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DR_CONFIG", raising=False)
    monkeypatch.delenv("DR_STRATEGY", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(list(args))
        assert isinstance(ended.value.code, int)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        assert "internal error" not in said.err
        return ended.value.code, said.out, said.err

    assert call("init", "--repositories")[0] == 0
    return call


def committed(folder: Path, minutes: int = 0) -> PointManifest:
    """A manifest in the vault, as a capture would have left it."""
    vault = LocalStore(folder / "appdata")
    point = replace(manifest(), slot=Slot(DATABASE, T0 + timedelta(minutes=minutes)), method="firestore-export")
    vault.put(point.name, encode(point), metadata=metadata_of(point))
    return point


def stored(folder: Path, point: PointManifest) -> Path:
    """The file that holds a manifest's bytes."""
    (found,) = [
        path for path in (folder / "appdata").rglob("*") if path.is_file() and encode(point) in path.read_bytes()
    ]
    return found


def test_points_are_listed_shown_and_rebuilt(dr: Call, tmp_path: Path) -> None:
    points = [committed(tmp_path, minutes) for minutes in (0, 10)]
    code, out, _ = dr("points", "list", "-o", "json")
    assert code == 0
    assert [item["name"] for item in json.loads(out)["items"]] == [point.name for point in points]
    code, out, _ = dr("points", "show", points[0].slot.id, "-o", "json")
    assert json.loads(out)["items"][0]["counts"] == {"items": 1}
    code, out, _ = dr("points", "rebuild", "-o", "json")
    counts = {item["vault"].rpartition("/")[2]: item["points"] for item in json.loads(out)["items"]}
    assert (code, counts["cluster"], counts["appdata"]) == (0, 0, 2)


def test_a_damaged_manifest_is_named_and_the_others_still_count(dr: Call, tmp_path: Path) -> None:
    broken, _whole = committed(tmp_path), committed(tmp_path, 10)
    path = stored(tmp_path, broken)
    path.write_bytes(path.read_bytes().replace(b'"epoch":1', b'"epoch":x'))
    code, _, err = dr("points", "show", broken.slot.id)
    assert code == 7
    assert broken.name in err
    code, out, _ = dr("points", "rebuild", "-o", "json")
    appdata = json.loads(out)["items"][1]
    assert (code, appdata["points"], len(appdata["damaged"])) == (7, 1, 1)
    assert broken.name in appdata["damaged"][0]


def test_a_newer_repository_is_refused_by_everything(dr: Call, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "appdata")
    info = store.stat("format.json")
    assert info is not None
    body = json.loads(store.get("format.json")) | {"format": 2}
    store.put("format.json", json.dumps(body).encode(), if_generation=info.generation)
    for args in (
        ("points", "list", "--fresh"),
        ("points", "verify"),
        ("restore", "plan", "--point-in-time", "2025-05-28T10:00:00Z"),
    ):
        code, _, err = dr(*args)
        assert code == 1, args
        assert "format 2" in err, args


def test_a_vault_is_no_control_repository(dr: Call, tmp_path: Path) -> None:
    (tmp_path / "dr.yaml").write_text(
        SETTINGS.replace("file://./control", "file://./x").replace("file://./appdata", "file://./control")
    )
    code, _, err = dr("points", "list", "--fresh")
    assert code == 2
    assert "is a control repository, not a vault" in err


def test_nothing_that_exists_is_overwritten_by_init(dr: Call, tmp_path: Path) -> None:
    code, _, err = dr("init")
    assert code == 2
    assert "dr.yaml exists" in err
    assert not (tmp_path / "strategy.yaml").exists()


def test_an_unknown_drill_and_an_unknown_restore(dr: Call) -> None:
    assert dr("drill", "report", "none")[0] == 1
    assert dr("drill", "report")[0] == 1
    assert dr("restore", "resume", "none")[0] == 1
    assert dr("drill", "run", "yearly")[0] == 2


@pytest.mark.parametrize("form", ["json", "yaml", "name", "wide", "table"])
def test_empty_lists_in_every_form(dr: Call, form: str) -> None:
    for args in (("points", "list"), ("drill", "list"), ("restore", "status")):
        code, out, _ = dr(*args, "-o", form)
        assert code == 0
        if form == "json":
            assert json.loads(out)["items"] == []


def test_a_key_file_is_made_once_and_says_how_to_declare_it(dr: Call, tmp_path: Path) -> None:
    code, out, err = dr("init", "--key", "secret.key")
    assert code == 0
    assert f"primary: file://{tmp_path / 'secret.key'}" in out
    assert "keep a copy" in err
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "secret.key").read_bytes()
    assert dr("init", "--key", "secret.key")[0] == 2
    assert (tmp_path / "secret.key").read_bytes() == before
    assert dr("init", "--key", "nowhere/secret.key")[0] == 2
