"""What captures ran with is in the control repository: a laptop with credentials gets both files back (break glass)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import DAMAGED, NOT_FOUND, DrError
from dr.record.used import keep_used, last_used, newest_used
from dr.settings import load_settings
from dr.settings.kept import kept_settings
from dr.stores.memory import MemoryStore
from dr.strategy import default_strategy_text, load_strategy

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)
SETTINGS = """
apiVersion: dr/v1
kind: Settings
scope: staging
control: file://./control
vaults:
  cluster: {url: file://./cluster, project: energent-backup, location: us-east1}
  appdata: {url: file://./appdata}
  config: {url: file://./config}
  audit: {url: file://./audit}
credentials: {capture: keys/capture.json}
notifications: {slack: "https://hooks.slack.com/services/T/B/secret"}
deadman: {url: "https://hc.example.com/ping/secret"}
velero: {namespace: velero, storageLocation: gcp}
cacheDir: cache
"""


def kept(control: MemoryStore, strategy: bytes, minutes: int) -> bool:
    return keep_used(control, strategy, b"settings", T0 + timedelta(minutes=minutes), "1.0")


def test_the_same_files_are_kept_once_and_a_change_back_is_a_change() -> None:
    control = MemoryStore()
    assert [kept(control, b"a", 0), kept(control, b"a", 1), kept(control, b"b", 2), kept(control, b"a", 3)] == [
        True, False, True, True,
    ]  # fmt: skip
    assert last_used(control).strategy == b"a"
    newest = newest_used(control)
    assert newest is not None
    assert newest.at == T0 + timedelta(minutes=3)
    assert sum(info.name.startswith("strategies/") for info in control.list()) == 2


def test_i7_a_file_that_is_not_what_its_name_says_is_named() -> None:
    control = MemoryStore()
    kept(control, b"a", 0)
    (name,) = [info.name for info in control.list("strategies/")]
    info = control.stat(name)
    assert info is not None
    control.delete(name, generation=info.generation)
    control.put(name, b"forged")
    with pytest.raises(DrError, match=name) as refused:
        last_used(control)
    assert refused.value.kind is DAMAGED


def test_a_repository_that_keeps_nothing_says_so() -> None:
    with pytest.raises(DrError) as refused:
        last_used(MemoryStore())
    assert refused.value.kind is NOT_FOUND


def test_settings_are_kept_without_what_is_secret_or_of_one_machine(tmp_path: Path) -> None:
    (tmp_path / "dr.yaml").write_text(SETTINGS)
    text = kept_settings(load_settings(tmp_path / "dr.yaml", {"DR_LEASE_NAME": "dr"})).decode()
    body = text.partition("apiVersion")[2]
    for word in ("secret", "keys/capture.json", "cacheDir", "hc.example.com"):
        assert word not in body
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "dr.yaml").write_text(text)
    settings = load_settings(again / "dr.yaml", {})
    assert settings.control == f"file://{tmp_path}/control", "a relative place means the same from anywhere"
    assert settings.vaults["cluster"].place.location == "us-east1"
    assert (settings.lease.name, settings.velero.storage_location) == ("dr", "gcp")
    assert kept_settings(settings).decode() == text


def test_init_from_the_control_repository_writes_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int]
) -> None:
    here, laptop = tmp_path / "here", tmp_path / "laptop"
    here.mkdir()
    laptop.mkdir()
    (here / "dr.yaml").write_text(SETTINGS + "strategy: strategy.yaml\n")
    (here / "strategy.yaml").write_text(default_strategy_text().replace("margin: 0.2", "margin: 0.3"))
    monkeypatch.chdir(here)
    assert call("init", "--repositories") == 0
    monkeypatch.chdir(laptop)
    assert call("init", "--from", f"file://{here}/control") == 0
    assert load_strategy(laptop / "strategy.yaml").margin == 0.3
    assert load_settings(laptop / "dr.yaml", {}).strategy == laptop / "strategy.yaml"
    assert call("init", "--from", f"file://{here}/control") == 2, "nothing that exists is overwritten"
    assert call("points", "list") == 0


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`dr ARGS` in this process: its exit code."""
    for name in ("DR_CONFIG", "DR_STRATEGY", "DR_CONTROL"):
        monkeypatch.delenv(name, raising=False)

    def run_it(*args: str) -> int:
        with pytest.raises(SystemExit) as ended:
            run(list(args))
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run_it
