"""`dr audit` over a `file://` vault: searched and verified with nothing else at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dr.changelog import Entry, LogReader, LogWriter
from dr.cli.main import run
from dr.components.audit.entry import Poison, key_of, quarantine_body, quarantine_entry, quarantine_name
from dr.stores.local import LocalStore
from dr.vendors.pubsub import Message
from tests.unit.fakes import T0, FakeClock
from tests.unit.pubsub_fake import SOURCE, log_entry
from tests.unit.test_cli_files import SETTINGS

STRATEGY = """
apiVersion: dr/v1
kind: Strategy
name: test
objectives:
  - component: audit
    frequency: real-time
    retention: 7y
    rto: 24h
    rpo: 0
    sources:
      - kind: pubsub
        name: energent
        options: {project: p, topic: energent-security, subscription: sink}
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`dr ARGS` in a folder with a strategy and a vault: exit code, output, errors."""
    (tmp_path / "dr.yaml").write_text(SETTINGS)
    (tmp_path / "strategy.yaml").write_text(STRATEGY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DR_CONFIG", raising=False)
    monkeypatch.setenv("DR_STRATEGY", str(tmp_path / "strategy.yaml"))

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


def filled(folder: Path) -> LocalStore:
    """Ten entries, an hour from one to the next, and one message in quarantine."""
    vault = LocalStore(folder / "audit")
    with LogWriter(vault, SOURCE, FakeClock(), window_s=0.0) as writer:
        for number in range(10):
            at = T0 + number * timedelta(hours=1)
            body = log_entry(number, at)
            writer.append([Entry(at, key_of(body), {"entry": body})], at).result(5)
        poison = Poison(Message("a", "m1", b"poison", {}, T0), "it is no JSON")
        name, kept = quarantine_name("pubsub.energent", poison), quarantine_body(str(SOURCE), poison)
        vault.put(name, kept)
        writer.append([quarantine_entry(name, kept, poison)], T0).result(5)
    return vault


def ids(out: str) -> list[str]:
    return [json.loads(line)["insertId"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ((), range(10)),
        (("--since", "2025-05-28T12:00:00Z", "--until", "2025-05-28T14:00:00Z"), (2, 3, 4)),
        (("--since", "2025-05-28T12:00:00Z", "--limit", "2"), (2, 3)),
        (("--principal", "person1"), (1, 4, 7)),
        (("--principal", "PERSON1@*"), (1, 4, 7)),
        (("--principal", "person"), range(10)),
        (("--principal", "person?"), ()),
        (("--method", "*.UpdateCluster"), range(10)),
        (("--method", "UpdateCluster", "--resource", "clusters/c3"), (3,)),
        (("--text", "i7"), (7,)),
        (("--text", "nothing of the kind"), ()),
        (("--source", "energent", "--text", "c9"), (9,)),
    ],
)
def test_entries_are_found(dr: Call, tmp_path: Path, flags: tuple[str, ...], found: tuple[int, ...]) -> None:
    filled(tmp_path)
    code, out, _ = dr("audit", "query", *flags, "-o", "jsonl")
    assert code == 0
    assert ids(out) == [f"i{number}" for number in found]


def test_every_form_shows_the_same(dr: Call, tmp_path: Path) -> None:
    filled(tmp_path)
    flags = ("audit", "query", "--text", "i4")
    document = json.loads(dr(*flags, "-o", "json")[1])
    (item,) = document["items"]
    assert (document["kind"], item["principal"], item["entry"]["insertId"]) == (
        "AuditEntry", "person1@energent.example", "i4",
    )  # fmt: skip
    line = dr(*flags)[1]
    assert line.split() == [item["at"], item["principal"], item["method"], item["resource"]]
    assert dr(*flags, "-o", "name")[1].strip() == item["key"]
    assert dr("audit", "query", "--text", "no such thing")[1].strip() == "no entry matches"
    assert json.loads(dr("audit", "query", "--text", "no such thing", "-o", "json")[1])["items"] == []


def test_a_sound_log_is_said_to_be(dr: Call, tmp_path: Path) -> None:
    filled(tmp_path)
    code, out, _ = dr("audit", "verify", "-o", "json")
    (item,) = json.loads(out)["items"]
    assert code == 0
    assert item["passed"]
    assert (item["entries"], item["quarantined"], item["first_seq"], item["last_seq"]) == (11, 1, 1, 11)
    assert (item["oldest"], item["newest"]) == ("2025-05-28T10:00:00Z", "2025-05-28T19:00:00Z")
    assert "ok" in dr("audit", "verify")[1]


def test_what_is_damaged_is_named_with_exit_7(dr: Call, tmp_path: Path) -> None:
    vault = filled(tmp_path)
    units = list(LogReader(vault, SOURCE).units())
    path = tmp_path / "audit" / units[4].name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    for args in (("verify",), ("query",)):
        code, out, err = dr("audit", *args)
        assert code == 7
        assert units[4].name in out + err


def test_what_is_missing_is_named_with_exit_7(dr: Call, tmp_path: Path) -> None:
    vault = filled(tmp_path)
    units = list(LogReader(vault, SOURCE).units())
    (tmp_path / "audit" / units[6].name).unlink()
    code, out, _ = dr("audit", "verify")
    assert code == 7
    assert units[6].name in out


def test_a_quarantined_message_that_is_gone_is_named_with_exit_7(dr: Call, tmp_path: Path) -> None:
    vault = filled(tmp_path)
    (kept,) = vault.list("quarantine/")
    (tmp_path / "audit" / kept.name).unlink()
    code, out, _ = dr("audit", "verify")
    assert code == 7
    assert kept.name in out


@pytest.mark.parametrize(
    ("flags", "word"), [(("--since", "yesterday"), "--since"), (("--source", "other"), "declared: energent")]
)
def test_a_wrong_question_is_answered_in_one_sentence(dr: Call, flags: tuple[str, ...], word: str) -> None:
    code, _, err = dr("audit", "query", *flags)
    assert code == 2
    assert word in err
