"""The product's way to Cloud Logging's entries against the lab's: pages, filters, permissions, limits, restarts."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import requests

from dr.components.audit.entry import fingerprint, key_of
from dr.components.audit.living import LivingLog
from dr.errors import NOT_AUTHORISED, REJECTED, UNAVAILABLE, DrError
from dr.plan.permissions import READ_ENTRIES, READ_SINK
from dr.vendors import entries as vendor
from lab.cloudlog.listing import SCANNED
from tests.contract.log_server import PROJECT, T0, LogServer, entry, minutes, start_server
from tests.contract.storage_server import stop
from tests.unit.pubsub_fake import SPEC

pytestmark = pytest.mark.timeout(120)
EVERYTHING = 'timestamp>="2025-01-01T00:00:00Z"'
LOG = f"projects/{PROJECT}/logs"
WORLD = replace(SPEC, options={**SPEC.options, "project": PROJECT})
ASKED: dict[str, Any] = {"resourceNames": [f"projects/{PROJECT}"]}
_LIST, _PRIVATE = READ_ENTRIES


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogServer]:
    """Twelve entries, a minute apart. Read only."""
    server = start_server(tmp_path_factory.mktemp("log"), per_minute=10_000)
    server.write(*(entry(number, T0 + minutes(number)) for number in range(12)))
    yield server
    server.stop()
    stop(server.lab.tokens)


@pytest.fixture
def server(shared: LogServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogServer]:
    """An empty log of its own, with the same identities."""
    own = LogServer(shared.lab, tmp_path_factory.mktemp("own"), per_minute=10_000).start()
    yield own
    own.stop()


@contextlib.contextmanager
def without(server: LogServer, permission: str, identity: str = "restore") -> Iterator[None]:
    where = f"projects/{PROJECT}"
    server.lab.iam.revoke(identity, permission, where)
    try:
        yield
    finally:
        server.lab.iam.grant(identity, [permission], where)


def named(found: Any) -> list[str]:
    return [one["insertId"] for one in found]


# --- what is listed


@pytest.mark.parametrize("page", [1, 5, 12, 1000])
def test_all_entries_come_once_newest_first_however_they_are_paged(shared: LogServer, page: int) -> None:
    found = list(shared.entries().newest(PROJECT, EVERYTHING, page))
    assert found == shared.written[::-1]


def test_one_page_is_asked_for_at_a_time(shared: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count()
    post = vendor._post
    monkeypatch.setattr(vendor, "_post", lambda *more: (next(asked), post(*more))[1])
    found = shared.entries().newest(PROJECT, EVERYTHING, 5)
    assert [next(found)["insertId"] for _ in range(5)] == [f"t-{number}" for number in range(11, 6, -1)]
    assert next(asked) == 1


def test_what_was_written_twice_is_there_once(server: LogServer) -> None:
    server.write(entry(1, T0))
    server.write(entry(1, T0), entry(2, T0))
    assert sorted(named(server.entries().newest(PROJECT, EVERYTHING))) == ["t-1", "t-2"]


def test_what_is_written_while_pages_are_read_moves_none_of_them(server: LogServer) -> None:
    server.write(*(entry(number, T0 + minutes(number)) for number in range(6)))
    found = server.entries().newest(PROJECT, EVERYTHING, 2)
    first = [next(found), next(found)]
    server.write(entry(50, T0 + minutes(50)), entry(51, T0 + minutes(-1)))
    assert named([*first, *found]) == ["t-5", "t-4", "t-3", "t-2", "t-1", "t-0", "t-51"]


def test_an_empty_page_is_not_the_end(server: LogServer) -> None:
    server.write(entry(0, T0, severity="ALERT"), *(entry(n, T0 + minutes(n)) for n in range(1, SCANNED + 2)))
    wanted = f"{EVERYTHING} AND severity>=ALERT"
    status, first = server.post({**ASKED, "filter": wanted, "orderBy": "timestamp desc", "pageSize": 1000})
    assert (status, first.get("entries")) == (200, None)
    assert first["nextPageToken"]
    assert named(server.entries().newest(PROJECT, wanted)) == ["t-0"]


def test_a_server_that_dies_between_two_pages_is_waited_for(server: LogServer) -> None:
    server.write(*(entry(number, T0 + minutes(number)) for number in range(4)))
    found = server.entries().newest(PROJECT, EVERYTHING, 2)
    first = [next(found), next(found)]
    server.stop()
    server.start()
    assert named([*first, *found]) == ["t-3", "t-2", "t-1", "t-0"]


# --- as a witness


def test_the_witness_sees_what_the_sink_had_to_send_until_the_instant(server: LogServer) -> None:
    at = T0 + minutes(60)
    meant = [entry(number, T0 + minutes(number)) for number in range(3)]
    other = entry(7, T0, logName=f"{LOG}/stdout")
    late = entry(8, T0 + minutes(1), receiveTimestamp=(at + minutes(1)).isoformat())
    server.write(*meant, other, late, entry(9, at + minutes(1)), entry(10, at - timedelta(days=8)))
    found = list(LivingLog(server.entries(), server.sinks()).read(WORLD, at))
    assert [(one.path, one.sha256) for one in found] == [(key_of(one), fingerprint(one)) for one in meant[::-1]]


@pytest.mark.parametrize("permission", [_LIST, READ_SINK])
def test_without_a_permission_the_witness_says_which(server: LogServer, permission: str) -> None:
    with without(server, permission), pytest.raises(DrError) as caught:
        list(LivingLog(server.entries(), server.sinks()).read(WORLD, T0))
    assert caught.value.kind is NOT_AUTHORISED
    assert permission in caught.value.message


def test_who_may_not_see_private_logs_is_shown_the_others_and_not_told(server: LogServer) -> None:
    server.write(entry(1, T0), entry(2, T0, logName=f"{LOG}/cloudaudit.googleapis.com%2Fdata_access"))
    assert sorted(named(server.entries().newest(PROJECT, EVERYTHING))) == ["t-1", "t-2"]
    with without(server, _PRIVATE):
        assert named(server.entries().newest(PROJECT, EVERYTHING)) == ["t-1"]


# --- what is refused


@pytest.mark.parametrize("identity", ["capture", "prune", "app", "velero"])
def test_only_who_restores_may_read_the_log(shared: LogServer, identity: str) -> None:
    status, answer = shared.post(ASKED, identity)
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert _LIST in answer["error"]["message"]


def test_another_project_is_refused_as_if_it_were_not_there(shared: LogServer) -> None:
    with pytest.raises(DrError) as caught:
        next(shared.entries().newest("another", EVERYTHING))
    assert caught.value.kind is NOT_AUTHORISED


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"resourceNames": []},
        {"resourceNames": ["folders/1"]},
        {"resourceNames": [f"projects/{PROJECT}"] * 101},
        {**ASKED, "pageSize": 1001},
        {**ASKED, "pageSize": -1},
        {**ASKED, "pageSize": "many"},
        {**ASKED, "orderBy": "severity desc"},
        {**ASKED, "filter": 'timestamp>="yesterday"'},
        {**ASKED, "filter": "(severity=ERROR"},
        {**ASKED, "filter": "x" * 20_001},
        {**ASKED, "pageToken": "!"},
        {**ASKED, "page": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_that_cannot_be_answered(shared: LogServer, body: object) -> None:
    status, answer = shared.post(body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT"), answer


def test_a_filter_that_cannot_be_read_is_no_temporary_trouble(shared: LogServer) -> None:
    with pytest.raises(DrError) as caught:
        next(shared.entries().newest(PROJECT, "(severity=ERROR"))
    assert caught.value.kind is REJECTED


def test_a_page_of_another_listing_is_refused(shared: LogServer) -> None:
    _, first = shared.post({**ASKED, "pageSize": 2})
    token = first["nextPageToken"]
    assert shared.post({**ASKED, "pageToken": token, "pageSize": 5})[0] == 200
    status, answer = shared.post({**ASKED, "pageToken": token, "filter": EVERYTHING})
    assert (status, answer["error"]["message"]) == (400, "page_token doesn't match arguments from the request")
    assert shared.post({**ASKED, "pageToken": base64.urlsafe_b64encode(json.dumps([1]).encode()).decode()})[0] == 400


def test_nobody_in_particular(shared: LogServer) -> None:
    url, roots = f"https://127.0.0.1:{shared.port}/v2/entries:list", str(shared.lab.ca.certificate)
    answer = requests.post(url, json=ASKED, verify=roots, timeout=20, headers={"Authorization": "Bearer forged"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_who_asks_too_often_is_told_to_wait(shared: LogServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    own = LogServer(shared.lab, tmp_path, per_minute=2).start()
    try:
        own.write(*(entry(number, T0 + minutes(number)) for number in range(3)))
        monkeypatch.setattr(vendor, "_ATTEMPTS", 2)
        found = own.entries().newest(PROJECT, EVERYTHING, 1)
        assert named([next(found), next(found)]) == ["t-2", "t-1"]
        with pytest.raises(DrError) as caught:
            next(found)
        assert caught.value.kind is UNAVAILABLE
        assert "tried 2 times" in caught.value.message
    finally:
        own.stop()
