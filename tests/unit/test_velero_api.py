"""The Kubernetes client against a scripted API server: pages, expired versions, refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dr.errors import CONFIGURATION, CONFLICT, NOT_AUTHORISED, REJECTED, UNREACHABLE, DrError, ErrorKind
from dr.vendors.kubernetes import Kubernetes
from dr.vendors.kubernetes_objects import CONFIG_MAPS, name_of

Answer = tuple[int, object]


class Script(ThreadingHTTPServer):
    """Answers in order; remembers what was asked. An answer that is a list is streamed as lines."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Scripted)
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []


class Scripted(BaseHTTPRequestHandler):
    server: Script

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query), self.headers.get("Authorization", "")))
        status, body = self.server.answers.pop(0)
        lines = body if isinstance(body, list) else [body]
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_DELETE = do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Kubernetes, Script]]:
    server = Script()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Kubernetes(kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")), server
    server.shutdown()
    server.server_close()
    thread.join()


def kubeconfig(folder: Path, url: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def page(*names: str, more: str = "") -> dict[str, object]:
    items = [{"metadata": {"name": name, "resourceVersion": "5"}} for name in names]
    return {"metadata": {"continue": more, "resourceVersion": "7"}, "items": items}


GONE = (410, {"message": "too old"})


def test_a_list_is_read_in_pages_with_the_token_of_the_kubeconfig(served: tuple[Kubernetes, Script]) -> None:
    kube, server = served
    server.answers = [(200, page("a", more="t1")), (200, page("b"))]
    assert [name_of(one) for one in kube.list(CONFIG_MAPS, "app", labels="x=y").items] == ["a", "b"]
    assert [asked[1].get("continue") for asked in server.asked] == [None, ["t1"]]
    assert {asked[2] for asked in server.asked} == {"Bearer secret"}
    assert server.asked[0][1]["labelSelector"] == ["x=y"]


def test_a_list_whose_token_expired_begins_anew_and_repeats_nothing(served: tuple[Kubernetes, Script]) -> None:
    kube, server = served
    server.answers = [(200, page("a", more="t1")), GONE, (200, page("a", more="t2")), (200, page("b"))]
    assert [name_of(one) for one in kube.list(CONFIG_MAPS).items] == ["a", "b"]


def test_i10_a_list_that_expires_again_and_again_is_an_error_never_half_a_list(
    served: tuple[Kubernetes, Script],
) -> None:
    kube, server = served
    server.answers = [answer for _ in range(3) for answer in ((200, page("a", more="t")), GONE)]
    with pytest.raises(DrError, match="expired three times") as caught:
        kube.list(CONFIG_MAPS)
    assert caught.value.temporary


def test_an_expired_watch_lists_again_so_that_nothing_is_missed(served: tuple[Kubernetes, Script]) -> None:
    kube, server = served
    event = {"type": "MODIFIED", "object": {"metadata": {"name": "b", "resourceVersion": "8"}}}
    expired = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
    server.answers = [(200, page("a")), (200, [event, expired]), (200, page("a", "c"))]
    watched = kube.watch(CONFIG_MAPS, deadline_s=30)
    seen = [one and (one.type, name_of(one.object)) for one in (next(watched) for _ in range(6))]
    assert seen == [("ADDED", "a"), None, ("MODIFIED", "b"), ("ADDED", "a"), ("ADDED", "c"), None]
    assert server.asked[1][1]["resourceVersion"] == ["7"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NOT_AUTHORISED), (403, NOT_AUTHORISED), (409, CONFLICT), (422, REJECTED), (400, REJECTED)],
)
def test_a_refusal_is_one_sentence_with_verb_resource_and_name(
    served: tuple[Kubernetes, Script], status: int, kind: ErrorKind
) -> None:
    kube, server = served
    server.answers = [(status, {"message": "because"})]
    with pytest.raises(DrError) as caught:
        kube.create(CONFIG_MAPS, {"metadata": {"name": "x"}}, "app")
    assert caught.value.kind is kind
    assert "create configmaps x" in caught.value.message
    assert "because" in caught.value.message


def test_an_answer_of_a_proxy_is_quoted_when_it_is_no_json(served: tuple[Kubernetes, Script]) -> None:
    kube, server = served
    server.answers = [(404, "no such host")]
    assert kube.get(CONFIG_MAPS, "x", "app") is None


def test_nobody_there_is_unreachable_and_no_kubeconfig_is_configuration(tmp_path: Path) -> None:
    with pytest.raises(DrError) as caught:
        Kubernetes(kubeconfig(tmp_path, "http://127.0.0.1:1")).version()
    assert caught.value.kind is UNREACHABLE
    with pytest.raises(DrError) as caught:
        Kubernetes(tmp_path / "none").version()
    assert caught.value.kind is CONFIGURATION
