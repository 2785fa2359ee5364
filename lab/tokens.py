"""`python -m lab.tokens`: what the lab has of Google's identity services, over https: the OAuth token server (`POST /token` with
a JWT bearer grant); of Resource Manager the question which permissions the caller has on a project; and of Cloud Logging the
sink that the audit entries come from, and the entries themselves, to be read."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dr.plan.permissions import READ_SINK
from lab.cloudlog.book import LogBook
from lab.cloudlog.listing import PER_MINUTE, Entries
from lab.iam import Iam, Unauthenticated
from lab.serving import Listener, serve
from lab.state import AUDIT_SINK

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def exchange(iam: Iam, form: Mapping[str, str], lifetime_s: int) -> tuple[int, dict[str, str | int]]:
    """HTTP status and body for one grant; the access token lives `lifetime_s` seconds."""
    if form.get("grant_type") != JWT_BEARER:
        return 400, {"error": "unsupported_grant_type", "error_description": "only the JWT bearer grant is offered"}
    try:
        name = iam.assertion(form.get("assertion", ""))
    except Unauthenticated as error:
        return 400, {"error": "invalid_grant", "error_description": str(error)}
    return 200, {"access_token": iam.token(name, lifetime_s), "expires_in": lifetime_s, "token_type": "Bearer"}


def held(iam: Iam, authorization: str | None, project: str, wanted: object) -> tuple[int, dict[str, object]]:
    """HTTP status and body of projects.testIamPermissions; like Google's, it omits an empty list."""
    try:
        name = iam.identify(authorization)
    except Unauthenticated as error:
        return 401, {"error": {"code": 401, "message": str(error), "status": "UNAUTHENTICATED"}}
    if not isinstance(wanted, list) or project != iam.project:
        message = f"The caller does not have permission, or project {project} does not exist"
        return 403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}
    found = [str(one) for one in wanted if iam.allowed(name, str(one), f"projects/{project}")]
    return 200, {"permissions": found} if found else {}


def sink(iam: Iam, authorization: str | None, project: str, name: str) -> tuple[int, dict[str, object]]:
    """HTTP status and body of projects.sinks.get."""
    try:
        caller = iam.identify(authorization)
    except Unauthenticated as error:
        return 401, {"error": {"code": 401, "message": str(error), "status": "UNAUTHENTICATED"}}
    if not iam.allowed(caller, READ_SINK, f"projects/{project}"):
        message = f"Permission '{READ_SINK}' denied on resource (or it may not exist)."
        return 403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}
    if (project, name) != (iam.project, AUDIT_SINK):
        return 404, {"error": {"code": 404, "message": f"Sink {name} does not exist", "status": "NOT_FOUND"}}
    return 200, {
        "name": name,
        "destination": f"pubsub.googleapis.com/projects/{project}/topics/{AUDIT_SINK}",
        "filter": 'logName:"cloudaudit.googleapis.com"',
        "writerIdentity": f"serviceAccount:logging-agent@{project}.iam.gserviceaccount.com",
    }


def application(iam: Iam, entries: Entries, lifetime_s: int) -> Starlette:
    """The ASGI application."""

    async def token(request: Request) -> JSONResponse:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode("latin-1")).items()}
        status, body = exchange(iam, form, lifetime_s)
        return JSONResponse(body, status)

    async def permissions(request: Request) -> JSONResponse:
        asked = await request.json()
        project = request.path_params["project"]
        status, body = held(iam, request.headers.get("authorization"), project, asked.get("permissions"))
        return JSONResponse(body, status)

    async def sinks(request: Request) -> JSONResponse:
        where = request.path_params
        status, body = sink(iam, request.headers.get("authorization"), where["project"], where["sink"])
        return JSONResponse(body, status)

    async def listed(request: Request) -> JSONResponse:
        try:
            asked = json.loads(await request.body())
        except ValueError:
            asked = None
        status, body = await run_in_threadpool(entries.list, request.headers.get("authorization"), asked)
        return JSONResponse(body, status)

    routes = [
        Route("/token", token, methods=["POST"]),
        Route("/v3/projects/{project}:testIamPermissions", permissions, methods=["POST"]),
        Route("/v2/projects/{project}/sinks/{sink}", sinks),
        Route("/v2/entries:list", listed, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def main() -> None:
    """Parse the flags and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m lab.tokens", description=__doc__)
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lifetime", type=int, default=3600, help="of an access token, in seconds")
    parser.add_argument("--log", default=":memory:", help="file of Cloud Logging's entries; they are written elsewhere")
    parser.add_argument("--lists-per-minute", type=int, default=PER_MINUTE, help="quota of entries.list")
    arguments = parser.parse_args()
    iam = Iam.open(arguments.iam)
    entries = Entries(iam, LogBook(arguments.log), arguments.lists_per_minute)
    tokens = application(iam, entries, arguments.lifetime)
    asyncio.run(serve([Listener("port", arguments.port, tokens, (arguments.cert, arguments.key))]))


if __name__ == "__main__":
    main()
