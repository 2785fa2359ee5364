"""`python -m lab.firestore`: the lab's Firestore, data plane and admin, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.firestore.admin import Admin
from lab.firestore.backups import Backups
from lab.firestore.control import application
from lab.firestore.dataplane import SERVICE, UNARY, DataGate
from lab.firestore.emulator import Emulator
from lab.firestore.events import Publisher
from lab.firestore.jobs import Jobs
from lab.firestore.limits import Scale
from lab.firestore.methods import admin_handlers
from lab.firestore.world import World
from lab.grpcproxy import Passage, open_channel, open_server
from lab.iam import Iam
from lab.serving import Listener, serve


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m lab.firestore", description=__doc__)
    parser.add_argument("--emulator", required=True, help="host:port of the Firestore emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0, help="plain http for the lab itself")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--dir", type=Path, required=True, help="where its own state lives")
    parser.add_argument("--storage", required=True, help="URL of Cloud Storage")
    parser.add_argument("--ca", type=Path, help="trusted for it (default: pki/ca.pem beside iam.json)")
    parser.add_argument("--pubsub", help="host:port of the Pub/Sub emulator; without it no events")
    parser.add_argument("--topic", default="firestore-documents", help="where events go")
    parser.add_argument("--location", default="us-central1", help="named in events")
    for name, help_text in SCALE.items():
        kind = type(getattr(Scale(), name))
        flag = f"--{FLAGS.get(name, name)}"
        parser.add_argument(flag, dest=name, type=kind, default=getattr(Scale(), name), help=help_text)
    return parser.parse_args()


SCALE = {
    "window": "seconds that point-in-time recovery reaches back",
    "granularity": "seconds between versions outside the recent window",
    "recent": "seconds within which any microsecond can be read",
    "reserve": "seconds that the id of a deleted database stays taken",
    "concurrent": "exports (and imports) at once",
    "per_minute": "exports and imports requested in a minute",
}
FLAGS = {
    "window": "pitr-window",
    "granularity": "snapshot-granularity",
    "recent": "recent-window",
    "reserve": "id-reservation",
    "per_minute": "requests-per-minute",
}


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    iam, scale = Iam.open(arguments.iam), Scale(**{name: getattr(arguments, name) for name in SCALE})
    arguments.dir.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(arguments.dir / "work", ignore_errors=True)
    world = World.open(arguments.dir, iam.project)
    ca = arguments.ca or arguments.iam / "pki" / "ca.pem"
    admin = Admin(iam, world, scale, Jobs(world, Emulator(arguments.emulator)), arguments.storage, ca)
    upstream = open_channel(arguments.emulator)
    with _publishing(arguments, upstream, iam.project) as publisher:
        gate = DataGate(iam, world, scale, publisher.announce if publisher else None)
        handlers = [*admin_handlers(admin), Passage(iam, gate, upstream, [SERVICE], UNARY)]
        server, port = open_server(handlers, f"127.0.0.1:{arguments.port}", (arguments.cert, arguments.key))
        await server.start()
        control = Listener("control_port", arguments.control_port, application(Backups(admin)))
        await serve([control], {"port": port})
        await server.stop(0.2)


@contextlib.contextmanager
def _publishing(arguments: argparse.Namespace, upstream: object, project: str) -> Iterator[Publisher | None]:
    if not arguments.pubsub:
        yield None
        return
    topic = f"projects/{project}/topics/{arguments.topic}"
    publisher = Publisher(open_channel(arguments.pubsub), upstream, topic, arguments.location)
    task = asyncio.ensure_future(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(parse()))
