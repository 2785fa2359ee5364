"""A Firestore emulator of one's own for tests of the export format: genuine files without the rest of a lab."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from dr.vendors.firestore import Firestore
from dr.vendors.google import GoogleAccess
from lab.children import die_with_parent

PROJECT = "energent-lab"


class _Owner(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """The emulator lets its owner do everything."""

    def _signed(self, details: grpc.ClientCallDetails) -> grpc.ClientCallDetails:
        return details._replace(metadata=[*(details.metadata or ()), ("authorization", "Bearer owner")])

    def intercept_unary_unary(self, call, details, request):  # type: ignore[no-untyped-def]
        return call(self._signed(details), request)

    def intercept_unary_stream(self, call, details, request):  # type: ignore[no-untyped-def]
        return call(self._signed(details), request)


class EmulatorAccess(GoogleAccess):
    """Plain gRPC to an emulator."""

    def channel(self, endpoint: str, default_host: str) -> grpc.Channel:
        return grpc.intercept_channel(grpc.insecure_channel(endpoint), _Owner())


@dataclass(frozen=True)
class Emulator:
    """One running emulator."""

    address: str

    @property
    def api(self) -> Firestore:
        return Firestore(EmulatorAccess(firestore_endpoint=self.address))

    def export(self, database: str, directory: Path, name: str) -> dict[str, Path]:
        """Genuine files of an export of the present, by name relative to `directory`."""
        body = {
            "database": f"projects/{PROJECT}/databases/{database}",
            "export_directory": str(directory),
            "export_name": name,
        }
        request = urllib.request.Request(
            f"http://{self.address}/emulator/v1/projects/{PROJECT}:export",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120):
            pass
        files = (path for path in (directory / name).rglob("*") if path.is_file())
        return {path.relative_to(directory).as_posix(): path for path in files}


@contextmanager
def running_emulator(log: Path) -> Iterator[Emulator]:
    """Skips where the Cloud SDK has no emulator."""
    script = _script()
    if script is None:
        pytest.skip("the Firestore emulator is missing: gcloud components install cloud-firestore-emulator")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as out:
        command = [str(script), "start", "--host=127.0.0.1", f"--port={port}"]
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, preexec_fn=die_with_parent)
    try:
        _wait(port, process)
        yield Emulator(f"127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _script() -> Path | None:
    gcloud = shutil.which("gcloud")
    roots = [Path("/usr/lib/google-cloud-sdk")] + ([Path(gcloud).resolve().parents[1]] if gcloud else [])
    found = (root / "platform/cloud-firestore-emulator/cloud_firestore_emulator" for root in roots)
    return next((path for path in found if path.exists()), None)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the Firestore emulator did not start")
