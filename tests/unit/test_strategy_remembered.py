"""A remembered strategy is the strategy; anything else that is found in its place is not taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr.errors import DrError
from dr.strategy import default_strategy_text, load_strategy
from dr.strategy.remembered import recall


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_it_comes_back_equal(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_strategy(None, cache)
    assert recall(cache, first.sha256) == first
    assert load_strategy(None, cache) == first == load_strategy(None)


def test_a_changed_file_is_another_strategy(tmp_path: Path) -> None:
    path, cache = tmp_path / "s.yaml", tmp_path / "cache"
    path.write_text(default_strategy_text())
    first = load_strategy(path, cache)
    path.write_text(default_strategy_text().replace("rto: 4h", "rto: 5h"))
    assert load_strategy(path, cache) != first


@pytest.mark.parametrize("damage", ["", "{}", "[]", "null", '{"shape": 1}'])
def test_damage_is_read_anew_from_the_file(tmp_path: Path, damage: str) -> None:
    first = load_strategy(None, tmp_path)
    only_file(tmp_path).write_text(damage)
    assert load_strategy(None, tmp_path) == first


def test_another_strategy_under_its_name_is_not_taken(tmp_path: Path) -> None:
    first = load_strategy(None, tmp_path)
    body = json.loads(only_file(tmp_path).read_text())
    body["strategy"]["rows"][0]["seconds"][1] = 1
    body["sha256"] = "0" * 64
    only_file(tmp_path).write_text(json.dumps(body))
    assert load_strategy(None, tmp_path) == first


def test_a_folder_that_cannot_be_written_makes_nothing_wrong(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert load_strategy(None, blocked).objectives


def test_a_missing_file_is_still_said(tmp_path: Path) -> None:
    with pytest.raises(DrError, match=r"none\.yaml"):
        load_strategy(tmp_path / "none.yaml", tmp_path)
