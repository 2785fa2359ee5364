"""`python -m lab.pubsub`: the Pub/Sub emulator behind permissions per identity, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

import grpc

from lab.cloudlog.book import LogBook
from lab.grpcproxy import Passage, open_channel, open_server
from lab.iam import Iam
from lab.pubsub.gate import SERVICES, UNARY, PubsubGate, policy_handler


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m lab.pubsub", description=__doc__)
    parser.add_argument("--emulator", required=True, help="host:port of the Pub/Sub emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--log", default=":memory:", help="file where Cloud Logging keeps what its sink published")
    parser.add_argument("--logged-topic", default="", help="full name of the sink's topic")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    iam = Iam.open(arguments.iam)
    passage = Passage(
        iam,
        PubsubGate(iam, LogBook(arguments.log), arguments.logged_topic),
        open_channel(arguments.emulator),
        SERVICES,
        UNARY,
    )
    handlers: list[grpc.GenericRpcHandler] = [policy_handler(iam), passage]
    server, port = open_server(handlers, f"127.0.0.1:{arguments.port}", (arguments.cert, arguments.key))
    await server.start()
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    print("READY " + json.dumps({"port": port}), flush=True)
    await stopped.wait()
    await server.stop(0.2)


if __name__ == "__main__":
    asyncio.run(run(parse()))
