"""Health, metrics and the status page over HTTP, from a thread of its own. Answers GET only; nothing can be changed here."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dr.errors import CONFIGURATION, DrError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_DRILL = re.compile(r"[A-Za-z0-9._-]{1,120}")
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
STOP_S = 5
"""How long open answers may still take when the service stops."""


@dataclass(frozen=True, slots=True)
class Pages:
    """What is answered; each is asked in a thread of a pool."""

    status: Callable[[], str]
    metrics: Callable[[], bytes]
    ready: Callable[[], str]
    """Why this replica is not ready; empty: it is."""
    drill: Callable[[str], str | None]
    """The report of one drill as a page; None when there is no such drill. Raises DrError."""


def application(pages: Pages) -> Starlette:
    """The ASGI application."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    routes = [
        Route("/", _page(lambda _: (200, "text/html", pages.status()))),
        Route("/healthz", _page(lambda _: (200, "text/plain", "ok\n"))),
        Route("/readyz", _page(lambda _: _ready(pages.ready()))),
        Route("/metrics", _page(lambda _: (200, _METRICS, pages.metrics()))),
        Route("/drills/{drill}", _page(lambda request: _drill(pages, request.path_params["drill"]))),
    ]
    return Starlette(routes=routes)


_Answer = tuple[int, str, str | bytes]


def _page(answer: Callable[[Request], _Answer]) -> Callable[[Request], Response]:
    """A plain function is run by starlette in its pool: a slow page never holds up /healthz."""

    def respond(request: Request) -> Response:
        from starlette.responses import Response

        try:
            status, kind, content = answer(request)
        except DrError as error:
            status, kind, content = 503, "text/plain", f"{error.message}\n"
        return Response(content, status, _HEADERS, kind)

    return respond


def _ready(reason: str) -> _Answer:
    return (503, "text/plain", f"{reason}\n") if reason else (200, "text/plain", "ok\n")


def _drill(pages: Pages, drill: str) -> _Answer:
    page = pages.drill(drill) if _DRILL.fullmatch(drill) else None
    return (200, "text/html", page) if page is not None else (404, "text/plain", "there is no such drill\n")


class Server:
    """Listens from its making on, answers between `start` and `stop`."""

    def __init__(self, address: str, pages: Pages) -> None:
        """`address`: `host:port`, port 0 takes a free one. Raises DrError CONFIGURATION when it can't be listened on."""
        import uvicorn

        host, _, port = address.rpartition(":")
        self._socket = _listen(host.strip("[]"), int(port), address)
        # uvicorn's own log lines would mix with ours; access is nobody's business here
        config = uvicorn.Config(
            application(pages),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="serve", daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Safe to call twice."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S + 1)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        raise DrError(CONFIGURATION, f"serve.address {address}: cannot listen there: {error.strerror}") from None
