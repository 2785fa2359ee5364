"""`POST /batch/storage/v1`: up to 100 calls without media in one request."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from lab.storage.failures import invalid
from lab.storage.multipart import boundary_of
from lab.storage.wire import Request, Response

MAX_CALLS = 100
BOUNDARY = "batch_of_the_lab"


async def serve(request: Request, respond: Callable[[Request], Awaitable[Response]]) -> Response:
    """Run each part as a request of its own; one that fails does not stop the others."""
    boundary = b"--" + boundary_of(request.headers.get("content-type", ""))
    parts = (await request.body()).replace(b"\r\n", b"\n").split(boundary)[1:-1]
    if not 1 <= len(parts) <= MAX_CALLS:
        raise invalid(f"A batch holds between 1 and {MAX_CALLS} calls.")
    answers = [await _one(request, part, respond) for part in parts]
    body = b"".join(f"--{BOUNDARY}\r\n".encode() + answer + b"\r\n" for answer in answers)
    content_type = f"multipart/mixed; boundary={BOUNDARY}"
    return Response(200, [("Content-Type", content_type)], body + f"--{BOUNDARY}--\r\n".encode())


async def _one(request: Request, part: bytes, respond: Callable[[Request], Awaitable[Response]]) -> bytes:
    envelope, _, call = part.lstrip(b"\n").partition(b"\n\n")
    response = await respond(_inner(request, call.lstrip(b"\n")))
    phrase = HTTPStatus(response.status).phrase
    head = [f"HTTP/1.1 {response.status} {phrase}", *(f"{key}: {value}" for key, value in response.headers)]
    head.append(f"Content-Length: {len(response.body)}")
    identifier = _headers(envelope).get("content-id", "").strip("<>")
    outer = f"Content-Type: application/http\r\nContent-ID: <response-{identifier}>\r\n\r\n"
    return (outer + "\r\n".join(head) + "\r\n\r\n").encode() + response.body


def _inner(request: Request, call: bytes) -> Request:
    head, _, body = call.partition(b"\n\n")
    line, _, rest = head.partition(b"\n")
    words = line.decode("latin-1").split(" ")
    if len(words) < 2:
        raise invalid("A call of the batch has no request line.")
    url, queries = urlsplit(words[1]), parse_qs(urlsplit(words[1]).query, keep_blank_values=True)
    query = {key: values[-1] for key, values in queries.items()}
    headers = {**_headers(rest), "authorization": request.headers.get("authorization", "")}
    if not headers["authorization"]:
        del headers["authorization"]
    inner = replace(request, method=words[0], raw_path=url.path, query=query, queries=queries, headers=headers)
    return replace(inner, receive=None, buffered=body.strip())


def _headers(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode("latin-1").split("\n"))
    return {key.strip().lower(): value.strip() for key, _, value in lines if key.strip()}
