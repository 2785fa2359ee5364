"""What Google's errors mean, and when a call is tried again."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption

from dr.errors import (
    CONFIGURATION,
    CONFLICT,
    DAMAGED,
    NOT_AUTHORISED,
    NOT_FOUND,
    REJECTED,
    RETENTION_REFUSED,
    UNAVAILABLE,
    UNREACHABLE,
    DrError,
    ErrorKind,
)
from dr.vendors.google import GoogleAccess, translate
from dr.vendors.retry import with_retry


class Rpc(grpc.RpcError):
    """As gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (api.NotFound("no bucket"), NOT_FOUND),
        (api.Unauthorized("who?"), NOT_AUTHORISED),
        (api.Forbidden("capture does not have storage.objects.get access"), NOT_AUTHORISED),
        (api.Forbidden("Object is subject to retention"), RETENTION_REFUSED),
        (api.Forbidden("slow down", errors=[{"reason": "rateLimitExceeded"}]), UNAVAILABLE),
        (api.AlreadyExists("database exists"), CONFLICT),
        (api.PreconditionFailed("generation"), CONFLICT),
        (api.Aborted("concurrent database changes"), UNAVAILABLE),
        (api.TooManyRequests("quota"), UNAVAILABLE),
        (api.ServiceUnavailable("busy"), UNAVAILABLE),
        (api.ServiceUnavailable("failed to connect to all addresses"), UNREACHABLE),
        (api.DeadlineExceeded("late"), UNAVAILABLE),
        (api.MethodNotImplemented("no such method"), REJECTED),
        (api.FailedPrecondition("requested snapshot version is too old"), REJECTED),
        (api.InvalidArgument("not a whole minute"), REJECTED),
        (api.RetryError("gave up", api.ServiceUnavailable("busy")), UNAVAILABLE),
        (Rpc(grpc.StatusCode.NOT_FOUND, "no database"), NOT_FOUND),
        (Rpc(grpc.StatusCode.PERMISSION_DENIED, "BILLING_DISABLED"), NOT_AUTHORISED),
        (Rpc(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses"), UNREACHABLE),
        (requests.ConnectionError("refused"), UNREACHABLE),
        (requests.Timeout("slow"), UNREACHABLE),
        (auth.TransportError("refused"), UNREACHABLE),
        (auth.RefreshError("invalid_grant", retryable=False), NOT_AUTHORISED),
        (auth.RefreshError("busy", retryable=True), UNAVAILABLE),
        (auth.DefaultCredentialsError("none"), NOT_AUTHORISED),
        (DataCorruption(None, "crc"), DAMAGED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_kind_and_one_sentence(error: Exception, kind: ErrorKind) -> None:
    translated = translate(error, "read gs://vault/x")
    assert translated.kind is kind
    assert translated.message.startswith("cannot read gs://vault/x: ")
    assert "\n" not in translated.message


def test_our_own_errors_pass() -> None:
    ours = DrError(DAMAGED, "x")
    assert translate(ours, "anything") is ours


@pytest.mark.parametrize("content", [None, "{", '{"type": "service_account"}'])
def test_credentials_that_cannot_be_read_are_named(tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)
    with pytest.raises(DrError, match=r"key\.json") as caught:
        GoogleAccess(key).credentials()
    assert caught.value.kind is CONFIGURATION


class Flaky:
    """Fails some times first."""

    def __init__(self, times: int, kind: ErrorKind) -> None:
        self.left, self.kind, self.calls = times, kind, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise DrError(self.kind, "not now")
        return "done"


def test_temporary_errors_are_tried_again() -> None:
    slept: list[float] = []
    flaky = Flaky(3, UNAVAILABLE)
    assert with_retry(flaky, what="x", sleep=slept.append) == "done"
    assert (flaky.calls, len(slept)) == (4, 3)


def test_permanent_errors_are_not() -> None:
    flaky = Flaky(1, NOT_FOUND)
    with pytest.raises(DrError, match=r"^not now$"):
        with_retry(flaky, what="x", sleep=lambda _: None)
    assert flaky.calls == 1


def test_the_last_error_says_how_often() -> None:
    with pytest.raises(DrError, match=r"not now \(tried 5 times\)") as caught:
        with_retry(Flaky(9, UNREACHABLE), what="x", sleep=lambda _: None)
    assert caught.value.kind is UNREACHABLE
