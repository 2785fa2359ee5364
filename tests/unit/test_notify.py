"""Messages over HTTP: what is sent, what is repeated, what is said when nobody takes it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dr.errors import NOT_AUTHORISED, NOT_FOUND, REJECTED, UNAVAILABLE, UNREACHABLE, DrError, ErrorKind
from dr.vendors.notify import Caller, Slack, Webhook, ping


@dataclass
class Receiver:
    """Answers with the statuses it is given, the last one for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            found.got.append((self.command, self.path, body))
            status = found.statuses.pop(0) if len(found.statuses) > 1 else found.statuses[0]
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hook/secret"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


CALLER = Caller(sleep=lambda _: None)


def test_a_webhook_gets_the_message_as_json(receiver: Receiver) -> None:
    Webhook(receiver.url, "lab", CALLER).send("db is late.", "db is late.\nmore", "critical", {"open": "1"})
    ((method, path, body),) = receiver.got
    assert (method, path) == ("POST", "/hook/secret")
    assert json.loads(body) == {
        "apiVersion": "dr/v1",
        "kind": "Notification",
        "scope": "lab",
        "severity": "critical",
        "title": "db is late.",
        "text": "db is late.\nmore",
        "facts": {"open": "1"},
    }


def test_slack_gets_text_that_calls_nobody(receiver: Receiver) -> None:
    Slack(receiver.url, "lab", CALLER).send("<!channel> & co", "<https://x|y>", "resolved", {"open": "0"})
    body = json.loads(receiver.got[0][2])
    assert body["text"] == "[lab] resolved: &lt;!channel&gt; &amp; co"
    (attachment,) = body["attachments"]
    assert attachment["text"] == "&lt;https://x|y&gt;"
    assert attachment["fields"] == [{"title": "open", "value": "0", "short": True}]


def test_what_is_temporary_is_repeated(receiver: Receiver) -> None:
    receiver.statuses = [503, 429, 200]
    Webhook(receiver.url, "lab", CALLER).send("t", "t", "warning", {})
    assert len(receiver.got) == 3


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [(401, NOT_AUTHORISED, 1), (404, NOT_FOUND, 1), (400, REJECTED, 1), (302, REJECTED, 1), (500, UNAVAILABLE, 4)],
)
def test_a_refusal_names_the_host_and_not_the_secret(
    receiver: Receiver, status: int, kind: ErrorKind, tries: int
) -> None:
    receiver.statuses = [status]
    with pytest.raises(DrError, match=rf"^127\.0\.0\.1 answered {status} ") as caught:
        Webhook(receiver.url, "lab", CALLER).send("t", "t", "warning", {})
    assert (caught.value.kind, len(receiver.got)) == (kind, tries)
    assert "secret" not in caught.value.message + caught.value.hint


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DrError, match="does not answer") as caught:
        ping(f"http://127.0.0.1:{port}/x", CALLER)
    assert caught.value.kind is UNREACHABLE


def test_the_signal_of_life_is_a_get(receiver: Receiver) -> None:
    ping(receiver.url, CALLER)
    assert receiver.got == [("GET", "/hook/secret", b"")]
