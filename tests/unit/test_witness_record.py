"""A witness that is guessed at proves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr.errors import CONFIGURATION, DAMAGED, DrError
from dr.record.witness import read_witness

GOOD = {
    "acked_at": "2025-05-28T10:00:00.5Z",
    "source": "appdata/firestore/db",
    "path": "t/1",
    "seq": 1,
    "sha256": "a" * 64,
}


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines))
    return path


def line(**changes: object) -> str:
    return json.dumps({**GOOD, **changes}) + "\n"


def test_writes_come_back_in_order_and_by_source(tmp_path: Path) -> None:
    record = read_witness(write(tmp_path / "w", line(), line(seq=2, sha256=""), line(source="cluster/velero/c")))
    assert [w.seq for w in record.of("appdata/firestore/db")] == [1, 2]
    assert len(record.writes) == 3


def test_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    record = read_witness(write(tmp_path / "w", line(), line(seq=2)[:40]))
    assert [w.seq for w in record.writes] == [1]


@pytest.mark.parametrize(
    "bad",
    [
        "not json\n",
        line(acked_at="today"),
        line(seq="1"),
        line(sha256="xyz"),
        line(path=3),
        "{}\n",
        "[]\n",
        line()[:50] + "\n",
    ],
)
def test_damage_inside_is_an_error_that_names_the_line(tmp_path: Path, bad: str) -> None:
    with pytest.raises(DrError, match=":2 is not a witness record") as error:
        read_witness(write(tmp_path / "w", line(), bad, line(seq=3)))
    assert error.value.kind is DAMAGED


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(DrError) as error:
        read_witness(tmp_path / "none")
    assert error.value.kind is CONFIGURATION
