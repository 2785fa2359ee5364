"""The lab's Cloud Logging: its query language, what it takes for an entry, its quota."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.cloudlog.book import FIRST, LARGEST, LAST, LogBook, nanoseconds
from lab.cloudlog.filters import Unparseable, parse
from lab.cloudlog.listing import Entries
from lab.iam import Iam

ENTRY = {
    "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
    "timestamp": "2025-05-28T10:00:00.5Z",
    "insertId": "i1",
    "severity": "NOTICE",
    "protoPayload": {"methodName": "storage.setIamPermissions", "status": {"code": 7}},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        'logName:"cloudaudit.googleapis.com"',
        "severity=notice",
        "severity>=INFO severity<ERROR",
        'timestamp>="2025-05-28T10:00:00Z" AND timestamp<"2025-05-28T12:00:01+02:00"',
        'timestamp<="2025-05-28T10:00:00.500Z"',
        "protoPayload.status.code=7",
        'protoPayload.methodName=~"^storage\\..*Permissions$"',
        "protoPayload.status:*",
        "setiampermissions",
        "NOT severity=ERROR",
        "trace!=x OR insertId=i2",
        # OR binds more than AND: (a OR b) AND (c OR d)
        "insertId=i1 OR severity=ERROR AND severity=NOTICE",
        "(insertId=i2 OR insertId=i1) NOT (severity=ERROR)",
        "insertId=i1 -- a word\n AND severity=NOTICE -- the end",
    ],
)
def test_wanted(text: str) -> None:
    assert parse(text)(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        'logName:"stdout"',
        "severity>NOTICE",
        'timestamp>"2025-05-28T10:00:00.500Z"',
        "protoPayload.request:*",
        "protoPayload.request.name=x",
        "NOT insertId=i1",
        "insertId=i1 AND severity=ERROR",
        "severity=ERROR AND insertId=i2 OR insertId=i1",
        'protoPayload.methodName!~"storage"',
    ],
)
def test_not_wanted(text: str) -> None:
    assert not parse(text)(ENTRY)


@pytest.mark.parametrize(
    "text",
    ["(", "a AND", "OR a", "a=", '"x"=y', "severity>=LOUD", 'timestamp<"soon"', 'a=~"("', "a)", 'x="open', "a==b"],
)
def test_not_understood(text: str) -> None:
    with pytest.raises(Unparseable):
        parse(text)


def test_nanoseconds_are_kept() -> None:
    assert nanoseconds("1970-01-01T00:00:01.000000001Z") == 1_000_000_001
    assert nanoseconds("1970-01-01T02:00:00+02:00") == 0


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"[]", b"{}", json.dumps({**ENTRY, "timestamp": "x"}).encode(),
     json.dumps({**ENTRY, "text": "x" * LARGEST}).encode()],
)  # fmt: skip
def test_what_is_no_entry_was_never_written(data: bytes, tmp_path: Path) -> None:
    book = LogBook(tmp_path / "entries.db")
    assert book.write([data, json.dumps(ENTRY).encode()]) == 1
    assert [one.entry for one in book.walk(FIRST, LAST, False, 10)] == [ENTRY]


def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    one, other = LogBook(tmp_path / "entries.db"), LogBook(tmp_path / "entries.db")
    assert one.write([json.dumps(ENTRY).encode()]) == 1
    assert other.write([json.dumps(ENTRY).encode()]) == 0
    assert [found.key[2] for found in other.walk(FIRST, LAST, True, 10)] == ["i1"]


def test_the_quota_is_of_the_last_minute(tmp_path: Path) -> None:
    iam = Iam.create(tmp_path, "p", "", ["restore"])
    iam.grant("restore", ["logging.*"], "projects/p")
    now = [0.0]
    entries = Entries(iam, LogBook(":memory:"), per_minute=2, clock=lambda: now[0])
    bearer = f"Bearer {iam.token('restore')}"
    answers = []
    for now[0] in (0.0, 30.0, 59.0, 60.0, 61.0):
        answers.append(entries.list(bearer, {"resourceNames": ["projects/p"]})[0])
    assert answers == [200, 200, 429, 200, 429]
