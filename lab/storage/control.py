"""The control listener: faults, statistics and the clock. Plain http on 127.0.0.1, for tests and the lab's disasters."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab.storage.failures import ApiError
from lab.storage.service import Service
from lab.storage.wire import load_json


def application(service: Service) -> Starlette:
    """POST/GET/DELETE /faults (and DELETE /faults/ID), GET /stats, POST /clock {"offset_s": S}."""

    async def add(request: Request) -> Response:
        try:
            return JSONResponse(service.faults.add(load_json(await request.body())).describe())
        except ApiError as error:
            return JSONResponse({"error": error.message}, error.status)

    async def faults(_: Request) -> Response:
        return JSONResponse({"items": service.faults.describe()})

    async def clear(request: Request) -> Response:
        identifier = request.path_params.get("id")
        service.faults.clear(None if identifier is None else int(identifier))
        return Response(status_code=204)

    async def stats(_: Request) -> Response:
        more = {"commits": service.index.commits, "fault_hits": service.faults.total_hits}
        return JSONResponse({**service.stats, **more, "orphans_removed": service.orphans_removed})

    async def clock(request: Request) -> Response:
        try:
            service.clock.offset_s = float(str(load_json(await request.body())["offset_s"]))
        except (ApiError, KeyError, ValueError) as error:
            return JSONResponse({"error": f"offset_s: {error}"}, 400)
        return JSONResponse({"offset_s": service.clock.offset_s, "purged": service.purge()})

    routes = [
        Route("/faults", add, methods=["POST"]),
        Route("/faults", faults, methods=["GET"]),
        Route("/faults", clear, methods=["DELETE"]),
        Route("/faults/{id:int}", clear, methods=["DELETE"]),
        Route("/stats", stats, methods=["GET"]),
        Route("/clock", clock, methods=["POST"]),
    ]
    return Starlette(routes=routes)
