"""The metadata server that pods on GKE have: plain http, one port for all pods of the node.

Every pod reaches it at its own address (GCE_METADATA_HOST), which the kernel reports as the connection's destination:
that is how the server knows who asks. Each gets access tokens of the Google identity of its own ServiceAccount only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

ROOT = "/computeMetadata/v1/"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TOKEN_S = 3600
MOST_BYTES = 16_384
TEXT, JSON = "application/text", "application/json"


class Refused(Exception):
    """An HTTP status and the sentence that goes with it."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class Identity:
    """What a pod may act as; `token` makes an access token that lives so many seconds."""

    email: str
    token: Callable[[int], str]


Who = Callable[[str], Identity]
"""Pod address -> its identity. Raises Refused; may block."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: HTTPStatus
    content: str
    body: bytes


def reply(project: str, target: str, headers: Mapping[str, str], who: Callable[[], Identity]) -> Reply:
    """The answer to `GET target`; header names in lower case."""
    url = urlsplit(target)
    recursive = parse_qs(url.query).get("recursive") == ["true"]
    try:
        return _text("computeMetadata/\n") if url.path == "/" else _entry(project, url.path, headers, recursive, who)
    except Refused as error:
        return _text(error.message, error.status)


def _text(text: str, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(status, TEXT, text.encode())


def _entry(project: str, path: str, headers: Mapping[str, str], recursive: bool, who: Callable[[], Identity]) -> Reply:
    # what makes a browser or a naive proxy fetch a URL cannot set this header: the real one insists on it too
    if headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in headers:
        raise Refused(HTTPStatus.FORBIDDEN, "Missing Metadata-Flavor:Google header, or forwarded.")
    if not path.startswith(ROOT):
        raise Refused(HTTPStatus.NOT_FOUND, f"{path} is not here.")
    wanted = path.removeprefix(ROOT)
    fixed = {"project/project-id": project, "universe/universe-domain": "googleapis.com", "": "instance/\nproject/\n"}
    if wanted in fixed:
        return _text(fixed[wanted])
    area, _, rest = wanted.partition("instance/service-accounts/")
    if area or not wanted.startswith("instance/service-accounts/"):
        raise Refused(HTTPStatus.NOT_FOUND, f"{path} is not here.")
    return _account(rest, recursive, who())


def _account(rest: str, recursive: bool, identity: Identity) -> Reply:
    name, _, leaf = rest.partition("/")
    if not name:
        return _text(f"default/\n{identity.email}/\n")
    if name not in ("default", identity.email):
        raise Refused(HTTPStatus.NOT_FOUND, f"the pod is not the service account {name}")
    described: Mapping[str, object] = {"aliases": ["default"], "email": identity.email, "scopes": list(SCOPES)}
    if not leaf:
        return _json(described) if recursive else _text("aliases\nemail\nscopes\ntoken\n")
    if leaf == "token":
        return _json({"access_token": identity.token(TOKEN_S), "expires_in": TOKEN_S, "token_type": "Bearer"})
    texts = {"email": identity.email, "scopes": "\n".join(SCOPES), "aliases": "default"}
    if leaf not in texts:
        raise Refused(HTTPStatus.NOT_FOUND, f"{leaf} is not here.")
    return _text(texts[leaf])


def _json(value: Mapping[str, object]) -> Reply:
    return Reply(HTTPStatus.OK, JSON, json.dumps(value).encode())


class MetadataServer:
    """Lives in the agent's event loop."""

    def __init__(self, project: str, who: Who) -> None:
        self._project, self._who = project, who
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen on every address of the node, of which all but the pods' (127.0.0.0/8) are refused."""
        self._server = await asyncio.start_server(self._serve, "0.0.0.0", 0, limit=MOST_BYTES)
        self._port = int(self._server.sockets[0].getsockname()[1])

    def environment(self, ip: str) -> dict[str, str]:
        """What a container of the pod at `ip` finds it by."""
        address = f"{ip}:{self._port}"
        detection = {"METADATA_SERVER_DETECTION": "assume-present"}
        return {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address, "GCE_METADATA_ROOT": address, **detection}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ip = str(writer.get_extra_info("sockname")[0])
            if ip_address(ip).is_loopback:
                writer.write(_wire(await self._answer(ip, await reader.readuntil(b"\r\n\r\n"))))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # whoever asked went away, or spoke no http
        finally:
            writer.close()

    async def _answer(self, ip: str, head: bytes) -> Reply:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        if method != "GET":
            return _text("only GET is offered", HTTPStatus.METHOD_NOT_ALLOWED)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        target = rest.partition(" ")[0]
        return await asyncio.to_thread(reply, self._project, target, headers, lambda: self._who(ip))


def _wire(answer: Reply) -> bytes:
    head = {
        "Metadata-Flavor": "Google",
        "Server": "Metadata Server for VM",
        "Content-Type": answer.content,
        "Content-Length": str(len(answer.body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", *(f"{name}: {head[name]}" for name in head)]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
