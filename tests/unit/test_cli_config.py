"""`dr config` over a `file://` vault: what the log tells, and that no Secret is ever told."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from dr.changelog.localkey import LocalKey
from dr.changelog.seal import Sealer
from dr.cli.main import run
from dr.components.config.following import ConfigFollower
from dr.model.ids import SourceId
from dr.model.strategy import Place, SourceSpec
from dr.model.timeline import format_instant
from dr.stores.local import LocalStore
from tests.lab.configured import config_strategy
from tests.unit.config_world import KINDS, World, config_map, secret

SETTINGS = """
apiVersion: dr/v1
kind: Settings
scope: staging
control: file://./control
strategy: strategy.yaml
vaults:
  cluster: {url: file://./cluster}
  appdata: {url: file://./appdata}
  config: {url: file://./config}
  audit: {url: file://./audit}
keys: {primary: file://./key}
cacheDir: cache
"""
SOURCE = SourceId("config", "kubernetes", "energent-production")
Call = Callable[..., tuple[int, str, str]]
CLEAR = ("hunter2", "aHVudGVyMg", "rotated", "cm90YXRlZA")


@pytest.fixture
def instants(tmp_path: Path) -> list[str]:
    """A log of two states with an instant after each."""
    (tmp_path / "dr.yaml").write_text(SETTINGS)
    (tmp_path / "strategy.yaml").write_text(config_strategy())
    (tmp_path / "key").write_bytes(b64encode(os.urandom(32)))
    (tmp_path / "key").chmod(0o600)
    here = World(sealer=Sealer((LocalKey(tmp_path / "key"),)))
    options = {"namespaces": ["app"], "kinds": list(KINDS), "heartbeat": "3s"}
    (tmp_path / "config").mkdir()
    vault = LocalStore(tmp_path / "config")
    found = []
    for _ in range(2):
        here.clock.advance(60)
        follower = ConfigFollower(here.api, SourceSpec(SOURCE, Place(), options), here.clock, here.sealer)
        follower.catch_up(vault, lambda: False)
        here.clock.advance(5)
        found.append(format_instant(here.clock.now()))
        here.api.put("configmaps", config_map("app", "settings", level="debug"))
        here.api.put("secrets", secret("app", "keys", token="cm90YXRlZA=="))
        here.api.put("configmaps", config_map("app", "made"))
    return found


@pytest.fixture
def dr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], instants: list[str]
) -> Call:
    monkeypatch.chdir(tmp_path)
    for name in ("DR_CONFIG", "DR_STRATEGY"):
        monkeypatch.delenv(name, raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(["config", *args])
        said = capsys.readouterr()
        assert not [word for word in CLEAR if word in said.out + said.err]
        assert "internal error" not in said.err, said.err
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return call


def test_a_history_names_what_changed_and_where(dr: Call) -> None:
    code, out, _ = dr("history", "-o", "json")
    assert code == 0
    told = [(item["operation"], item["name"], item["changed"]) for item in json.loads(out)["items"]]
    assert ("changed", "settings", ["data.level"]) in told
    assert ("changed", "keys", ["data"]) in told
    assert ("created", "made", []) in told
    assert dr("history", "keys", "--kind", "secrets")[1].count("app/secrets/keys") == 2
    assert "no change was seen" in dr("history", "--namespace", "nowhere")[1]


def test_a_state_is_shown_as_manifests_and_secrets_stay_closed(dr: Call, instants: list[str]) -> None:
    assert "level: info" in dr("show", "settings", "--at", instants[0])[1]
    assert "level: debug" in dr("show", "settings", "--at", instants[1])[1]
    assert "data: (sealed)" in dr("show", "keys")[1]
    code, _, err = dr("show", "nothing")
    assert code == 1
    assert "there was no such object" in err


def test_a_difference_is_1_none_is_0_and_an_error_is_more(dr: Call, instants: list[str]) -> None:
    code, out, _ = dr("diff", "--from", instants[0], "--to", instants[1], "-o", "json")
    assert code == 1
    found = {item["name"]: item for item in json.loads(out)["items"]}
    assert found["settings"]["places"] == [{"path": "data.level", "from": "info", "to": "debug"}]
    assert found["keys"]["places"] == [{"path": "data", "from": "(sealed)", "to": "(sealed)"}]
    assert found["made"]["change"] == "added"
    assert dr("diff", "--from", instants[1], "--to", instants[0])[1].count("removed") == 1
    assert dr("diff", "--from", instants[0], "--to", instants[0])[0] == 0
    assert dr("diff", "made", "--from", instants[0], "--to", instants[1], "--kind", "secrets")[0] == 0
    assert dr("diff", "--from", "2001-01-01T00:00:00Z", "--to", instants[0])[0] == 2
    assert dr("diff", "--from", "yesterday", "--to", instants[0])[0] == 2
    assert dr("diff", "--from", instants[0], "--to", instants[1], "--source", "other")[0] == 2


def test_without_its_key_a_secret_of_another_process_is_not_guessed_about(
    dr: Call, instants: list[str], tmp_path: Path
) -> None:
    (tmp_path / "key").unlink()
    assert "data: (sealed)" in dr("show", "keys")[1]
    code, _, err = dr("diff", "keys", "--from", instants[0], "--to", instants[1])
    assert code in (1, 2), err  # digests of one key still tell; else it says which key is missing
