"""`python -m lab.tokens`: the lab's OAuth token server, `POST /token` with a JWT bearer grant over https."""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.iam import Iam, Unauthenticated
from lab.serving import Listener, serve

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


def application(iam: Iam, lifetime_s: int) -> Starlette:
    """The ASGI application."""

    async def token(request: Request) -> JSONResponse:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode("latin-1")).items()}
        status, body = exchange(iam, form, lifetime_s)
        return JSONResponse(body, status)

    return Starlette(routes=[Route("/token", token, methods=["POST"])])


def main() -> None:
    """Parse the flags and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m lab.tokens", description=__doc__)
    parser.add_argument("--iam", type=Path, required=True, help="directory with iam.json")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lifetime", type=int, default=3600, help="of an access token, in seconds")
    arguments = parser.parse_args()
    tokens = application(Iam.open(arguments.iam), arguments.lifetime)
    asyncio.run(serve([Listener("port", arguments.port, tokens, (arguments.cert, arguments.key))]))


if __name__ == "__main__":
    main()
