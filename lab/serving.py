"""Run ASGI applications on 127.0.0.1: several listeners in one process, one READY line, a quick end on SIGTERM."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_S = 75
BACKLOG = 512
GRACE_S = 0.1
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Listener:
    """One address; `label` names its port in the READY line, `port` 0 takes a free one, no `tls` means http."""

    label: str
    port: int
    application: ASGIApp
    tls: tuple[Path, Path] | None = None
    protocol: type[HttpToolsProtocol] = HttpToolsProtocol


class _Server(uvicorn.Server):
    """Leaves signals to us: several servers in one process would pass them around."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(listeners: Sequence[Listener], more: Mapping[str, object] | None = None) -> None:
    """Listen, print READY with the ports (and `more`), serve until SIGTERM or SIGINT."""
    sockets = [socket.create_server(("127.0.0.1", each.port), backlog=BACKLOG) for each in listeners]
    servers = [_server(each) for each in listeners]
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, _stop, servers, loop)
    running = [asyncio.ensure_future(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)]
    while not all(server.started for server in servers) and not any(task.done() for task in running):
        await asyncio.sleep(POLL_S)
    ports = {each.label: sock.getsockname()[1] for each, sock in zip(listeners, sockets, strict=True)}
    print("READY " + json.dumps({**ports, **(more or {})}), flush=True)
    await asyncio.gather(*running)


def _server(listener: Listener) -> _Server:
    certificate, key = listener.tls or (None, None)
    config = uvicorn.Config(
        listener.application,
        http=listener.protocol,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="warning",
        access_log=False,
        lifespan="off",
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    logging.getLogger("uvicorn.error").addFilter(_unexpected)
    return _Server(config)


def _unexpected(record: logging.LogRecord) -> bool:
    """A response that a fault cut is no error of ours."""
    return "ASGI callable returned without" not in record.getMessage()


def _stop(servers: Sequence[_Server], loop: asyncio.AbstractEventLoop) -> None:
    """Finish what is under way; idle TLS connections that do not say goodbye are not waited for."""
    for server in servers:
        server.should_exit = True
        loop.call_later(GRACE_S, setattr, server, "force_exit", True)
