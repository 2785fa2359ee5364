"""Messages to people by webhook or Slack, and the signal of life. The standard library suffices: one POST, one GET."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from dr import __version__
from dr.errors import NOT_AUTHORISED, NOT_FOUND, REJECTED, UNAVAILABLE, UNREACHABLE, DrError, ErrorKind
from dr.vendors.retry import with_retry

TIMEOUT_S = 10
DEADLINE_S = 45
_KINDS: Mapping[int, ErrorKind] = {401: NOT_AUTHORISED, 403: NOT_AUTHORISED, 404: NOT_FOUND, 408: UNAVAILABLE}
_COLOURS = {"critical": "#a3231d", "warning": "#b7791f", "resolved": "#1d6b3f"}


class _NoRedirect(HTTPRedirectHandler):
    """A message goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Caller:
    """One HTTP request and its answer's status. `ca_file`: roots trusted besides the system's; `sleep`: between retries."""

    ca_file: Path | None = None
    sleep: Callable[[float], None] = time.sleep

    def call(self, url: str, body: bytes | None = None) -> None:
        """GET, or POST of JSON. Raises DrError by what was answered; the URL is a secret, so only its host is named."""
        headers = {"user-agent": f"dr/{__version__}"} | ({"content-type": "application/json"} if body else {})
        where = urlsplit(url).hostname or url
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        opener = build_opener(_NoRedirect, HTTPSHandler(context=context))
        try:
            with opener.open(Request(url, data=body, headers=headers), timeout=TIMEOUT_S) as answer:
                answer.read(1)
        except HTTPError as error:
            raise DrError(_kind(error.code), f"{where} answered {error.code} {error.reason}") from None
        except (URLError, OSError, HTTPException) as error:
            raise DrError(UNREACHABLE, f"{where} does not answer: {getattr(error, 'reason', error)}") from None


def _kind(status: int) -> ErrorKind:
    return _KINDS.get(status, UNAVAILABLE if status >= 500 or status == 429 else REJECTED)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A Notifier: the message as JSON."""

    url: str
    scope: str
    caller: Caller = field(default_factory=Caller)

    def send(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> None:
        _post(self.caller, self.url, self.body(title, text, severity, facts))

    def body(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> Mapping[str, object]:
        return {
            "apiVersion": "dr/v1",
            "kind": "Notification",
            "scope": self.scope,
            "severity": severity,
            "title": title,
            "text": text,
            "facts": dict(facts),
        }


@dataclass(frozen=True, slots=True)
class Slack:
    """A Notifier: as Slack's incoming webhooks, and those of others that speak like them, take it."""

    url: str
    scope: str
    caller: Caller = field(default_factory=Caller)

    def send(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> None:
        _post(self.caller, self.url, self.body(title, text, severity, facts))

    def body(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> Mapping[str, object]:
        fields = [{"title": name, "value": _escaped(value), "short": True} for name, value in facts.items()]
        attachment = {"color": _COLOURS.get(severity, ""), "text": _escaped(text), "fields": fields}
        return {"text": f"[{self.scope}] {severity}: {_escaped(title)}", "attachments": [attachment]}


def _escaped(text: str) -> str:
    """So that no name becomes a link or calls a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(caller: Caller, url: str, body: Mapping[str, object]) -> None:
    data = json.dumps(body, ensure_ascii=False).encode()
    with_retry(lambda: caller.call(url, data), what="telling", attempts=4, deadline_s=DEADLINE_S, sleep=caller.sleep)


def ping(url: str, caller: Caller) -> None:
    """The signal of life. Raises DrError; tried twice, because the next one is due soon."""
    with_retry(
        lambda: caller.call(url), what="the signal of life", attempts=2, deadline_s=TIMEOUT_S, sleep=caller.sleep
    )
