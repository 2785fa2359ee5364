"""`python -m lab.supervisor`: brings one lab up, answers on its control socket, and leaves nothing behind."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.children import KEEP, SWEEP, remove_directory, start_guard
from lab.crew import Crew, Event
from lab.parts import FULL, Site
from lab.state import MARKER, SOCKET_FILE, LabError

LOCK_FILE = "lab.lock"


class Supervisor:
    """Speaks for a crew: JSON lines in, JSON lines out."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.stopping = asyncio.Event()
        self.rises: set[asyncio.Task[bool]] = set()

    async def rise(self, scope: str) -> bool:
        """`bring_up`, with its end announced to those who watch."""
        began = time.monotonic()
        try:
            await self.crew.bring_up(scope)
        except LabError as error:
            await self.crew.announce({"lab": "failed", "message": str(error)})
            return False
        await self.crew.announce(
            {"lab": "ready", "scope": self.crew.scope, "elapsed_s": round(time.monotonic() - began, 2)}
        )
        return True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """JSON lines: one request, one answer; `watch` answers with events until the lab is ready or failed."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                await self._respond(line, writer)
        writer.close()

    async def _respond(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(line)
            if request.get("op") in ("watch", "extend"):
                await self._watch(request, writer)
                return
            answer = await self._do(request)
        except (LabError, ValueError, KeyError, AttributeError) as error:
            answer = {"error": str(error) or f"cannot understand {line!r}"}
        await _send(writer, answer)

    async def _watch(self, request: Mapping[str, object], writer: asyncio.StreamWriter) -> None:
        """`watch` begins with the first event ever, `extend` with the rise that it asks for."""
        seen = 0
        if request["op"] == "extend":
            seen = len(self.crew.events)
            self.crew.skip = tuple(filter(None, str(request.get("skip", "")).split(",")))
            rise = asyncio.create_task(self.rise(str(request.get("scope", FULL))))
            self.rises.add(rise)
            rise.add_done_callback(self.rises.discard)
        while True:
            async with self.crew.news:
                while len(self.crew.events) == seen:
                    await self.crew.news.wait()
                fresh = self.crew.events[seen:]
            seen += len(fresh)
            for event in fresh:
                await _send(writer, event)
            if "lab" in fresh[-1] and not self.crew.rising.locked():
                writer.close()
                return

    async def _do(self, request: Mapping[str, object]) -> Event:
        operation = request["op"]
        if operation == "status":
            return self.crew.status()
        if operation == "stop":
            self.stopping.set()
            return {"stopping": True}
        if operation == "kill":
            return await self.crew.kill(str(request["part"]), str(request.get("signal", "KILL")))
        if operation == "start":
            return await self.crew.start_again(str(request["part"]))
        raise LabError(f"unknown operation {operation!r}: status, watch, extend, kill, start, stop")


async def _send(writer: asyncio.StreamWriter, answer: Event) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


def lock(directory: Path) -> int:
    """The lock that one supervisor, and its guard after it, hold on a lab's directory. LabError when another does."""
    descriptor = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LabError(f"another supervisor holds {directory}") from None
    return descriptor


def _listen(directory: Path) -> socket.socket:
    """Bound through a directory descriptor: a socket's own path may not exceed 107 bytes."""
    (directory / SOCKET_FILE).unlink(missing_ok=True)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET_FILE}")
    os.close(descriptor)
    os.chmod(directory / SOCKET_FILE, 0o600)
    return listener


async def supervise(site: Site, scope: str, skip: tuple[str, ...], guard: int) -> bool:
    """Until told to stop; False when the lab did not come up."""
    supervisor = Supervisor(Crew(site, skip))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stopping.set)
    server = await asyncio.start_unix_server(supervisor.serve, sock=_listen(site.directory))
    rising = loop.create_task(supervisor.rise(scope))
    stop = loop.create_task(supervisor.stopping.wait())
    await asyncio.wait((rising, stop), return_when=asyncio.FIRST_COMPLETED)
    risen = not rising.done() or rising.result()
    if risen:
        await stop
    rising.cancel()
    await supervisor.crew.shut_down((guard,))
    server.close()
    return risen


def main() -> None:
    """Parse the flags, raise the guard, supervise, and leave nothing (or, after a failed start, only the logs)."""
    parser = argparse.ArgumentParser(prog="python -m lab.supervisor", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--scope", choices=("data", "full", "cluster"), default="full")
    parser.add_argument("--skip", default="", help="parts to leave out, separated by commas")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    options = dict(option.split("=", 1) for option in arguments.option)
    site = Site(arguments.dir, os.environ[MARKER], arguments.cache, options)
    held = lock(site.directory)
    guard, pipe = start_guard(site.directory, site.id)
    skip = tuple(filter(None, arguments.skip.split(",")))
    # not asyncio.run: it would wait for a set-up step that hangs in its thread
    risen = asyncio.new_event_loop().run_until_complete(supervise(site, arguments.scope, skip, guard))
    if risen:
        remove_directory(site.directory)
    os.write(pipe, SWEEP if risen else KEEP)
    os.close(held)
    os._exit(0 if risen else 1)


if __name__ == "__main__":
    main()
