"""I5: a vault that had points and lists none is an error, not an empty vault."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.test_cli_files import Call, committed, dr

__all__ = ["dr"]


@pytest.fixture
def emptied(dr: Call, tmp_path: Path) -> Call:
    """Two points were listed; then the vault lists nothing."""
    committed(tmp_path)
    committed(tmp_path, minutes=5)
    assert dr("points", "list", "--fresh", "-o", "name")[1].count("points/") == 2
    shutil.rmtree(tmp_path / "appdata" / "points")
    return dr


@pytest.mark.parametrize(
    "command",
    [("points", "list", "--fresh"), ("points", "verify"), ("status", "--fresh")],
)
def test_i5_an_empty_listing_is_refused_by_whatever_reads_it(emptied: Call, command: tuple[str, ...]) -> None:
    code, out, err = emptied(*command)
    assert code == 1, (out, err)
    assert "lists no recovery point, but 2 were there at" in err.replace("\n", " ") + out
    assert "listing-shrank" in err


def test_i5_what_was_known_is_kept_until_a_person_rebuilds(emptied: Call) -> None:
    emptied("points", "list", "--fresh")
    assert emptied("points", "list", "-o", "name")[1].count("points/") == 2, "the cache still knows them"
    code, out, _ = emptied("points", "rebuild")
    assert code == 7
    assert "nothing is there, where 2 points were known" in out
    assert emptied("points", "list", "--fresh")[0] == 0, "a person looked at it"


def test_a_vault_that_never_had_a_point_lists_none(dr: Call) -> None:
    assert dr("points", "list", "--fresh")[0] == 0
    assert dr("points", "rebuild")[0] == 0
