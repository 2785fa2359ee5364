"""`python -m lab.storage`: serve the lab's Cloud Storage until SIGTERM."""

import argparse
import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import uvloop

from lab.iam import Iam
from lab.serving import Listener, serve
from lab.storage import control
from lab.storage.clock import Clock
from lab.storage.routing import Front
from lab.storage.service import Service
from lab.storage.wire import Protocol

PURGE_EVERY_S = 60


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m lab.storage", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where buckets and objects live")
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--cert", type=Path, help="certificate of the main listener (without: plain http)")
    parser.add_argument("--key", type=Path)
    parser.add_argument("--port", type=int, default=0, help="main listener; 0 takes a free port")
    parser.add_argument("--plain-port", type=int, help="http listener for clients that can do neither TLS nor tokens")
    parser.add_argument("--plain-identity", default="velero", help="who its anonymous callers are")
    parser.add_argument("--control-port", type=int, help="faults, statistics, clock")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="seconds that the clock is ahead")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    """Open and recover the store, serve, close it."""
    service = Service.open(arguments.dir, Iam.open(arguments.iam), Clock(arguments.clock_offset))
    gc.freeze()
    purging = asyncio.ensure_future(_purge(service))
    try:
        await serve(list(_listeners(arguments, service)))
    finally:
        purging.cancel()
        service.index.close()


def _listeners(arguments: argparse.Namespace, service: Service) -> Iterator[Listener]:
    tls = (arguments.cert, arguments.key) if arguments.cert else None
    yield Listener("port", arguments.port, Front(service), tls, Protocol)
    if arguments.plain_port is not None:
        yield Listener("plain_port", arguments.plain_port, Front(service, arguments.plain_identity), None, Protocol)
    if arguments.control_port is not None:
        yield Listener("control_port", arguments.control_port, control.application(service))


async def _purge(service: Service) -> None:
    while True:
        service.purge()
        await asyncio.sleep(PURGE_EVERY_S)


if __name__ == "__main__":
    uvloop.run(run(parse()))
