"""`python -m lab.energent.app`: energent-platform, which is healthy only while its database answers and is whole.

Configured by environment variables alone, as its Deployment sets them: FIRESTORE_PROJECT, FIRESTORE_DATABASE,
FIRESTORE_ENDPOINT, GOOGLE_APPLICATION_CREDENTIALS, TRUST (a CA file), POD_IP, PORT.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

import grpc

from lab.energent.store import Store, Target

DETAIL_S = 5.0
READ_S = 4.0  # below the probe's own patience


class Health:
    """What /health answers, from what the database holds."""

    def __init__(self, store: Store, database: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._database, self._monotonic = store, database, monotonic
        self._details: Mapping[str, object] = {}
        self._taken, self._lock = float("-inf"), threading.Lock()

    def check(self) -> tuple[bool, dict[str, object]]:
        """(healthy, body). Unhealthy without a platform document, or with fewer or more tenants than it records."""
        body: dict[str, object] = {"database": self._database}
        try:
            platform, tenants = self._store.get("meta/platform"), self._store.count("tenants")
            if platform is None:
                return False, body | {"error": "the database holds no meta/platform"}
            expected = int(str(platform["tenants"]["integerValue"]))
            body |= {"tenants": tenants, "tenants_expected": expected, **self._detailed()}
        except grpc.RpcError as error:
            return False, body | {"error": f"{error.code().name}: {error.details()}"}
        if tenants != expected:
            return False, body | {"error": f"{tenants} tenants where meta/platform records {expected}"}
        return True, body

    def _detailed(self) -> Mapping[str, object]:
        # Counting reads much, and a probe asks every second.
        with self._lock:
            if self._monotonic() - self._taken > DETAIL_S:
                jobs = self._store.count("jobs", group=True)
                self._details = {"jobs": jobs, "latest_job": self._store.latest("jobs", "seq")}
                self._taken = self._monotonic()
            return self._details


def handler(health: Health) -> type[BaseHTTPRequestHandler]:
    """The request handler over `health`: GET /health, 200 or 503, JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/health":
                self._answer(404, {"error": "only /health is served here"})
                return
            healthy, body = health.check()
            self._answer(200 if healthy else 503, {"status": "ok" if healthy else "failing", **body})

        def _answer(self, status: int, body: Mapping[str, object]) -> None:
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:
            if "/health" not in str(args[0]) or " 200 " not in f" {args[1]} ":
                super().log_message(format, *args)

    return Handler


def target(env: Mapping[str, str]) -> Target:
    """Raises KeyError that names what is not configured."""
    key, ca = env.get("GOOGLE_APPLICATION_CREDENTIALS"), env.get("TRUST")
    where = env["FIRESTORE_ENDPOINT"], env["FIRESTORE_PROJECT"], env["FIRESTORE_DATABASE"]
    return Target(*where, Path(key) if key else None, Path(ca) if ca else None)


def main() -> None:
    """Serves until SIGTERM."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        where = target(os.environ)
    except KeyError as error:
        sys.exit(f"not configured: {error} is missing in the environment")
    address = os.environ.get("POD_IP", "127.0.0.1"), int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer(address, handler(Health(Store(where, READ_S), where.database)))
    print("READY " + json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
