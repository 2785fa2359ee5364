"""The campaigns of `make soak`: what passed is not run again on the same tree, what failed is, and the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import lab.campaigns
from lab.campaigns import Part, Record, campaigns, parts, settle
from lab.state import LabError


def part(name: str, source: Path, seen: Path) -> Part:
    """Copies a JSON file: fails where there is none."""
    return Part(name, "a test", ("json.tool", str(source), str(seen)))


def test_what_passed_is_not_run_again(tmp_path: Path) -> None:
    record, source, seen = Record(tmp_path / "passed.jsonl"), tmp_path / "in.json", tmp_path / "out.json"
    source.write_text("[]")
    assert settle(part("soak", source, seen), record)
    seen.unlink()
    assert settle(part("soak", source, seen), record)
    assert not seen.exists()
    assert list(record.passed()) == ["soak"]


def test_what_failed_is_run_again_and_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "out.json"
    known = (part("one", tmp_path / "missing.json", seen), part("two", tmp_path / "two.json", tmp_path / "seen.json"))
    (tmp_path / "two.json").write_text("{}")
    monkeypatch.setattr(lab.campaigns, "parts", lambda *_: known)
    words = ["--out", str(tmp_path / "campaigns")]
    first = CliRunner().invoke(campaigns, words)
    assert isinstance(first.exception, LabError)
    assert "did not pass: one" in str(first.exception)
    assert (tmp_path / "seen.json").exists()
    (tmp_path / "missing.json").write_text("[]")
    again = CliRunner().invoke(campaigns, words)
    assert again.exit_code == 0, again.output
    assert seen.exists()


def test_a_changed_tree_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, seen = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text("[]")
    monkeypatch.setattr(lab.campaigns, "parts", lambda *_: (part("one", source, seen),))
    for name in ("aaa", "bbb"):
        monkeypatch.setattr(lab.campaigns, "tree", lambda name=name: name)
        assert CliRunner().invoke(campaigns, ["--out", str(tmp_path / "out")]).exit_code == 0
        seen.unlink()


def test_an_unknown_part_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    answer = CliRunner().invoke(campaigns, ["--out", str(tmp_path), "--only", "sock"])
    assert answer.exit_code == 2
    assert "no such part: sock" in answer.output
    for one in parts(tmp_path, 3):
        assert one.name in answer.output
