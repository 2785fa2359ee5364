"""The service's log: JSON lines on standard output."""

from __future__ import annotations

from typing import Any

import structlog


def json_log() -> Any:
    """Each call one line; lines of several threads do not mix."""
    return structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
