"""What only the lab may do: let backup schedules fire, hold operations, look inside."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.firestore.backups import Backups


def application(backups: Backups) -> Starlette:
    """`POST /fire-backups[?database=D]`, `POST /hold`, `POST /release`, `GET /operations`."""
    jobs = backups.admin.jobs

    async def fire(request: Request) -> JSONResponse:
        made = await asyncio.to_thread(backups.fire, request.query_params.get("database", ""))
        return JSONResponse({"backups": made})

    async def hold(request: Request) -> JSONResponse:
        """Operations stay under way until released: a test can cancel or kill at a known moment."""
        jobs.gate.clear()
        return JSONResponse({})

    async def release(request: Request) -> JSONResponse:
        jobs.gate.set()
        return JSONResponse({})

    async def operations(request: Request) -> JSONResponse:
        records = backups.admin.world.operations.values()
        return JSONResponse([{"id": one.id, "kind": one.kind, "done": one.ended is not None} for one in records])

    return Starlette(
        routes=[
            Route("/fire-backups", fire, methods=["POST"]),
            Route("/hold", hold, methods=["POST"]),
            Route("/release", release, methods=["POST"]),
            Route("/operations", operations, methods=["GET"]),
        ]
    )
