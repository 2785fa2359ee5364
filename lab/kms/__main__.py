"""`python -m lab.kms`: the lab's Cloud KMS, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.grpcproxy import open_server
from lab.iam import Iam
from lab.kms.methods import handlers
from lab.kms.service import Service
from lab.kms.world import ENCRYPT, SIGN, World
from lab.serving import Listener, serve

ROTATION_S = 90 * 86_400.0


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m lab.kms", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0, help="plain http for the lab itself")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--dir", type=Path, required=True, help="where the keys live")
    for flag in ("--encrypt-key", "--signing-key"):
        parser.add_argument(flag, action="append", default=[], help="full name of a key to be there; repeatable")
    return parser.parse_args()


def control(world: World) -> Starlette:
    """`POST /regions/LOCATION/down` makes a location UNAVAILABLE, `/up` brings it back; `GET /regions`: those down."""

    async def regions(_request: Request) -> JSONResponse:
        return JSONResponse({"down": sorted(world.down)})

    async def turn(request: Request) -> JSONResponse:
        location, way = request.path_params["location"], request.path_params["way"]
        if way not in ("down", "up"):
            return JSONResponse({"error": "down or up"}, 404)
        (world.down.add if way == "down" else world.down.discard)(location)
        return JSONResponse({"down": sorted(world.down)})

    return Starlette(routes=[Route("/regions", regions), Route("/regions/{location}/{way}", turn, methods=["POST"])])


def ensure(world: World, names: Sequence[str], purpose: int) -> None:
    """Make those keys that are not there yet."""
    for name in names:
        if name not in world.keys:
            with world.changing():
                world.make(name, purpose, rotation=ROTATION_S if purpose == ENCRYPT else None)


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    iam, world = Iam.open(arguments.iam), World.open(arguments.dir)
    ensure(world, arguments.encrypt_key, ENCRYPT)
    ensure(world, arguments.signing_key, SIGN)
    where, tls = f"127.0.0.1:{arguments.port}", (arguments.cert, arguments.key)
    server, port = open_server(handlers(Service(iam, world)), where, tls)
    await server.start()
    await serve([Listener("control_port", arguments.control_port, control(world))], {"port": port})
    await server.stop(0.2)


if __name__ == "__main__":
    asyncio.run(run(parse()))
