"""Faults on request: which requests they hit and what happens to them. Scripted over the control listener."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lab.storage.failures import ApiError, invalid
from lab.storage.model import Json
from lab.storage.wire import Cut, Request

REASONS = {401: "authError", 403: "forbidden", 408: "requestTimeout", 429: "rateLimitExceeded", 503: "backendError"}


@dataclass(frozen=True, slots=True)
class Fault:
    """Hits matching requests from the `nth` (1 = first) on, `count` times (0 = until removed)."""

    id: int
    method: str = ""
    bucket: str = ""
    pattern: str = ""
    url: str = ""
    nth: int = 1
    count: int = 1
    status: int = 0
    message: str = ""
    retry_after_s: float = 0.0
    delay_s: float = 0.0
    truncate: float | None = None
    commit_then_drop: bool = False
    seen: int = 0
    hits: int = 0

    def matches(self, request: Request, bucket: str, name: str) -> bool:
        """Whether this request is meant (whatever its number)."""
        return (
            self.method in ("", request.method)
            and self.bucket in ("", bucket)
            and re.search(self.pattern, name) is not None
            and re.search(self.url, f"{request.raw_path}?{_query(request)}") is not None
        )

    @property
    def due(self) -> bool:
        """Whether a request that was just counted in `seen` is hit."""
        return self.seen >= self.nth and (not self.count or self.hits < self.count)

    def describe(self) -> dict[str, object]:
        """For the control listener."""
        match = {"method": self.method, "bucket": self.bucket, "object": self.pattern, "url": self.url}
        return {"id": self.id, "match": match, "seen": self.seen, "hits": self.hits}


@dataclass(slots=True)
class Faults:
    """All faults in force, oldest first; the first that is due decides."""

    _faults: dict[int, Fault] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    total_hits: int = 0

    def add(self, document: Json) -> Fault:
        """From `{"match": {...}, "action": {...}}`; ApiError 400 for what is not understood."""
        match, action = document.get("match") or {}, document.get("action") or {}
        try:
            fault = Fault(next(self._ids), **_match(match), **_action(action))  # type: ignore[arg-type]
            [re.compile(pattern) for pattern in (fault.pattern, fault.url)]
        except (TypeError, ValueError, re.error) as error:
            raise invalid(f"not a fault: {error}") from error
        self._faults[fault.id] = fault
        return fault

    def describe(self) -> list[dict[str, object]]:
        """All, with how often they were seen and hit."""
        return [fault.describe() for fault in self._faults.values()]

    def clear(self, identifier: int | None = None) -> None:
        """Remove one or all."""
        doomed = list(self._faults) if identifier is None else [identifier]
        for key in doomed:
            self._faults.pop(key, None)

    async def apply(self, request: Request, bucket: str, name: str) -> None:
        """Delay, refuse (ApiError) or mark the response to be cut. Call once per request, before anything changes."""
        for fault in list(self._faults.values()):
            if not fault.matches(request, bucket, name):
                continue
            counted = replace(fault, seen=fault.seen + 1)
            self._faults[fault.id] = replace(counted, hits=counted.hits + 1) if counted.due else counted
            if counted.due:
                self.total_hits += 1
                await _act(fault, request)
                return


async def _act(fault: Fault, request: Request) -> None:
    if fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    if fault.status:
        headers = (("Retry-After", f"{fault.retry_after_s:g}"),) if fault.retry_after_s else ()
        reason = REASONS.get(fault.status, "backendError")
        raise ApiError(fault.status, reason, fault.message or f"injected {fault.status}", headers)
    if fault.commit_then_drop:
        request.fault = Cut(None)
    elif fault.truncate is not None:
        request.fault = Cut(fault.truncate)


def _match(raw: object) -> dict[str, object]:
    if not isinstance(raw, dict) or not set(raw) <= {"method", "bucket", "object", "url", "nth", "count"}:
        raise ValueError("match takes method, bucket, object, url, nth, count")
    named = {"pattern" if key == "object" else key: value for key, value in raw.items()}
    return {key: int(value) if key in ("nth", "count") else str(value) for key, value in named.items()}


def _action(raw: object) -> dict[str, object]:
    readers = {"status": int, "message": str, "retry_after_s": float, "delay_s": float, "commit_then_drop": bool}
    if not isinstance(raw, dict) or not raw or not set(raw) <= {*readers, "truncate"}:
        raise ValueError("action takes status, message, retry_after_s, delay_s, truncate, commit_then_drop")
    action: dict[str, object] = {key: read(raw[key]) for key, read in readers.items() if key in raw}
    if raw.get("truncate"):
        action["truncate"] = 0.5 if raw["truncate"] is True else float(raw["truncate"])
    return action


def _query(request: Request) -> str:
    return "&".join(f"{key}={value}" for key, value in request.query.items())
