"""One GET, or one program: what a check of a user's own looks with. The standard library suffices."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, Request, build_opener

from dr.errors import NOT_FOUND, TIMED_OUT, UNREACHABLE, DrError

LONGEST = 1 << 20
"""Bytes of an answer or an output that are looked at."""


def fetch(url: str, seconds: float, ca_file: Path | None = None) -> tuple[int, str]:
    """Status and the beginning of the body, whatever the status. Raises DrError UNREACHABLE."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    opener = build_opener(HTTPSHandler(context=context))
    try:
        with opener.open(Request(url), timeout=seconds) as answer:
            return int(answer.status), _text(answer.read(LONGEST))
    except HTTPError as error:
        return error.code, _text(error.read(LONGEST))
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise DrError(UNREACHABLE, f"{url} does not answer: {getattr(error, 'reason', error)}") from None


def run(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """Exit code and what it printed, both streams together. Its whole process group is ended when the time is up.

    Raises DrError NOT_FOUND when there is no such program, TIMED_OUT.
    """
    try:
        process = subprocess.Popen(
            argv, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise DrError(NOT_FOUND, f"{argv[0]} cannot be started: {error.strerror or error}") from None
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise DrError(TIMED_OUT, f"{argv[0]} did not end within {seconds:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, _text(said[-LONGEST:])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
