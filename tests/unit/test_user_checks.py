"""Checks of a user's own: what they look with, what they expect, and that what cannot be seen fails."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dr.errors import NOT_FOUND, TIMED_OUT, UNREACHABLE, DrError
from dr.model.drills import Ask, UserCheck
from dr.model.plans import PlannedRestore, Target
from dr.model.strategy import FailureDomain
from dr.plan.expecting import at, judged_count, judged_object, judged_output
from dr.run.looking import Copy, Eyes, Looker
from dr.vendors.asking import fetch, run
from tests.unit.fakes import DATABASE, T0

DEPLOYMENT: Mapping[str, object] = {
    "spec": {"replicas": 3, "paused": False},
    "status": {"conditions": [{"type": "Available", "status": "False", "message": "no quorum"}]},
}


def item() -> PlannedRestore:
    target = Target(True, "drill-1-", {"database": "drill-1-db"})
    return PlannedRestore(DATABASE, FailureDomain.SOURCE, "m", None, T0, target, 1, None, 0.0, (), (), {"project": "p"})


def refuse(*_: object) -> object:
    raise DrError(UNREACHABLE, "no way there")


def looker(check: UserCheck, **eyes: Any) -> Looker:
    given: dict[str, Any] = {"command": refuse, "http": refuse, "count": refuse, "kubernetes": refuse} | eyes
    given["copy_of"] = lambda one: Copy(one, lambda name: f"drill-1-{name}", ("energent-ai",))
    return Looker([check], Eyes(**given))


def look(check: UserCheck, **eyes: Any) -> tuple[bool, str]:
    (found,) = looker(check, **eyes).look(item())
    assert found.name == check.name
    return found.passed, found.detail


# --- what is expected


@pytest.mark.parametrize(
    ("code", "said", "good"), [(0, "all fine", True), (1, "all fine", False), (0, "broken", False)]
)
def test_a_command_is_judged_by_exit_and_output(code: int, said: str, good: bool) -> None:
    assert judged_output({"exit": 0, "output": "fine$"}, code, said)[0] is good


@pytest.mark.parametrize(
    ("expects", "count", "good"),
    [
        ({"count": 3}, 3, True),
        ({"count": 3}, 4, False),
        ({"count": 0}, 0, True),
        ({"atLeast": 3}, 3, True),
        ({"atLeast": 3}, 2, False),
        ({"atMost": 3}, 4, False),
        ({"atLeast": 1, "atMost": 3}, 2, True),
    ],
)
def test_a_count_is_judged_by_its_bounds(expects: Mapping[str, object], count: int, good: bool) -> None:
    assert judged_count(expects, count)[0] is good


@pytest.mark.parametrize(
    ("expects", "good", "words"),
    [
        ({"exists": True, "condition": "", "field": ""}, True, "is there"),
        ({"exists": False, "condition": "", "field": ""}, False, "is there"),
        ({"exists": True, "condition": "Available", "field": ""}, False, "Available is False no quorum"),
        ({"exists": True, "condition": "Ready", "field": ""}, False, "has no condition Ready"),
        ({"exists": True, "condition": "", "field": "spec.replicas", "equals": 3}, True, "spec.replicas is 3"),
        ({"exists": True, "condition": "", "field": "spec.replicas", "equals": "3"}, False, "instead of '3'"),
        ({"exists": True, "condition": "", "field": "spec.paused", "equals": 0}, False, "instead of 0"),
    ],
)
def test_an_object_is_judged_by_what_is_said_of_it(expects: Mapping[str, object], good: bool, words: str) -> None:
    found, said = judged_object(expects, DEPLOYMENT)
    assert found is good
    assert words in said


def test_an_object_that_is_not_there() -> None:
    assert judged_object({"exists": True, "condition": "", "field": ""}, None) == (False, "is not there")
    assert judged_object({"exists": False, "condition": "", "field": ""}, None)[0]


def test_a_path_goes_into_lists_and_ends_where_nothing_is() -> None:
    assert at(DEPLOYMENT, "status.conditions.0.type") == "Available"
    assert at(DEPLOYMENT, "status.conditions.1.type") is None
    assert at(DEPLOYMENT, "spec.replicas.x") is None


# --- what they look at


def test_the_copy_is_named_in_the_words_of_the_source() -> None:
    asked: list[tuple[object, ...]] = []

    def get(copy: Copy, *where: object) -> object:
        asked.append((copy.namespace("energent-ai"), *where))
        return DEPLOYMENT

    asks = {"resource": "deployments.apps", "namespace": "energent-ai", "name": "platform"}
    expects = {"exists": True, "condition": "", "field": ""}
    good, said = look(UserCheck("up", "appdata", Ask.KUBERNETES, asks, expects), kubernetes=get)
    assert good
    assert said == "kubernetes: deployments.apps energent-ai/platform is there"
    assert asked == [("drill-1-energent-ai", "deployments.apps", "energent-ai", "platform")]


def test_places_of_a_url_are_those_of_the_copy() -> None:
    asked: list[str] = []

    def http(url: str, seconds: float) -> tuple[int, str]:
        asked.append(url)
        return 503, "no quorum"

    url = "http://x/{database}/{namespace:energent-ai}?at={instant}&{other}"
    check = UserCheck("answers", "appdata", Ask.HTTP, {"url": url}, {"status": 200, "body": ""})
    assert look(check, http=http) == (False, "http: 503 instead of 200: no quorum")
    assert asked == ["http://x/drill-1-db/drill-1-energent-ai?at=2025-05-28T10:00:00Z&{other}"]


def test_a_command_finds_the_copy_in_its_environment() -> None:
    script = "import os; print(os.environ['DR_DATABASE'], os.environ['DR_NAMESPACES'], os.environ['DR_PROJECT'])"
    expects = {"exit": 0, "output": "^drill-1-db energent-ai=drill-1-energent-ai p$"}
    check = UserCheck("asks", "appdata", Ask.COMMAND, {"run": [sys.executable, "-c", script]}, expects)
    assert look(check, command=run) == (True, "command: exit 0")


@pytest.mark.parametrize("kind", list(Ask))
def test_what_cannot_be_seen_is_a_failed_check(kind: Ask) -> None:
    asks = {"run": ["x"], "url": "http://x/", "collection": "c", "resource": "r", "namespace": "", "name": "n"}
    good, said = look(UserCheck("c", "appdata", kind, asks, {}))
    assert not good
    assert said == f"{kind}: no way there"


def test_checks_of_other_rows_do_not_look() -> None:
    check = UserCheck("c", "cluster", Ask.HTTP, {"url": "http://x"}, {})
    assert looker(check).look(item()) == ()


# --- programs and answers


def test_a_program_that_does_not_end_is_ended_with_its_children() -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    with pytest.raises(DrError) as error:
        run([sys.executable, "-c", script], {}, 0.5)
    assert error.value.kind is TIMED_OUT


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(DrError) as error:
        run(["/no/such/program"], {}, 5)
    assert error.value.kind is NOT_FOUND


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(418 if self.path == "/teapot" else 200)
        self.end_headers()
        self.wfile.write(b"short and stout")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_any_status_is_an_answer(served: str) -> None:
    assert fetch(f"{served}/", 5) == (200, "short and stout")
    assert fetch(f"{served}/teapot", 5) == (418, "short and stout")


def test_no_answer_is_unreachable(served: str) -> None:
    with pytest.raises(DrError) as error:
        fetch("http://127.0.0.1:1/", 5)
    assert error.value.kind is UNREACHABLE
