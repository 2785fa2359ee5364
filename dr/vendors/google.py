"""How Google is reached: credentials, trusted roots, REST sessions and gRPC channels, and what its errors mean.

The SDK is imported inside functions: a command that never talks to Google must not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from dr.vendors.loading import preload

if TYPE_CHECKING:
    import grpc
    from google.auth.transport.requests import AuthorizedSession

REST = ("google.auth", "google.auth.transport.requests", "google.oauth2.service_account", "requests")
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
POOL = 32
"""Connections kept for each host: as many threads as we ever copy with."""

_BY_STATUS: Mapping[int, ErrorKind] = {
    401: NOT_AUTHORISED,
    403: NOT_AUTHORISED,
    404: NOT_FOUND,
    408: UNAVAILABLE,
    409: CONFLICT,
    412: CONFLICT,
    429: UNAVAILABLE,
    501: REJECTED,
}
_RETENTION_WORDS = ("retention", "hold")
_RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
_HINTS: Mapping[str, str] = {
    NOT_AUTHORISED.code: "check the credentials and the roles of this identity",
    UNREACHABLE.code: "check the network, the endpoint and the trusted CA",
}


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """How to reach Google; built once, shared by all adapters.

    `credentials_file`: a service account's key, None means Application Default Credentials. Endpoints are empty for
    Google's own (`storage_endpoint` and `resourcemanager_endpoint` are URLs, the others are `host:port`). `ca_file`: PEM roots trusted
    instead of the public ones, for the token server too.
    """

    credentials_file: Path | None = None
    storage_endpoint: str = ""
    firestore_endpoint: str = ""
    pubsub_endpoint: str = ""
    kms_endpoint: str = ""
    logging_endpoint: str = ""
    resourcemanager_endpoint: str = ""
    ca_file: Path | None = None
    project: str = ""

    def credentials(self) -> Any:
        """google.auth credentials with the cloud-platform scope. Raises DrError CONFIGURATION or NOT_AUTHORISED."""
        preload(*REST)
        import google.auth
        from google.oauth2 import service_account

        try:
            if self.credentials_file is not None:
                return service_account.Credentials.from_service_account_file(str(self.credentials_file), scopes=[SCOPE])
            return google.auth.default(scopes=[SCOPE], request=self._token_request())[0]
        except (OSError, ValueError) as error:
            raise DrError(CONFIGURATION, f"cannot read credentials {self.credentials_file}: {error}") from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise translate(error, "find Google credentials") from error

    def session(self) -> AuthorizedSession:
        """A REST session (thread-safe for plain requests, pool sized for threads) that refreshes its own token."""
        preload(*REST)
        from google.auth.transport.requests import AuthorizedSession

        session = AuthorizedSession(self.credentials(), auth_request=self._token_request())
        self._prepare(session)
        return session

    def channel(self, endpoint: str, default_host: str) -> grpc.Channel:
        """A TLS channel to `endpoint` (empty: `default_host`) whose calls carry our credentials."""
        preload("grpc", "google.auth.transport.grpc", *REST)
        import grpc
        from google.auth.transport.grpc import AuthMetadataPlugin

        credentials = self.credentials()
        # a token signed by ourselves saves a round trip and a dependency on the token server, as Google's clients do
        if hasattr(credentials, "with_always_use_jwt_access"):
            credentials = credentials.with_always_use_jwt_access(True)
        roots = self.ca_file.read_bytes() if self.ca_file else None
        plugin = AuthMetadataPlugin(credentials, self._token_request(), default_host=default_host)
        tls = grpc.ssl_channel_credentials(root_certificates=roots)
        both = grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(plugin))
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        return grpc.secure_channel(endpoint or f"{default_host}:443", both, options=options)

    def _prepare(self, session: Any) -> None:
        preload("requests")
        from requests.adapters import HTTPAdapter

        roots = str(self.ca_file) if self.ca_file else None

        class Adapter(HTTPAdapter):
            def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
                # requests lets REQUESTS_CA_BUNDLE win over session.verify: what the settings name must win
                return super().send(request, *args, **(kwargs | {"verify": roots} if roots else kwargs))

        session.mount("https://", Adapter(pool_connections=POOL, pool_maxsize=POOL))
        session.verify = roots or True

    def _token_request(self) -> Any:
        preload(*REST)
        import requests
        from google.auth.transport.requests import Request

        session = requests.Session()
        self._prepare(session)
        return Request(session)


def translate(error: Exception, what: str) -> DrError:
    """The catalogue's word for an error of google-auth, google-api-core, google-cloud-storage, gRPC or requests.

    `what` completes "cannot ...": `read gs://bucket/name`.
    """
    if isinstance(error, DrError):
        return error
    kind = _kind(error)
    return DrError(kind, f"cannot {what}: {_reason(error)}", hint=_HINTS.get(kind.code, ""))


def _kind(error: Exception) -> ErrorKind:
    status = http_status(error)
    if status is not None:
        return _kind_of_answer(error, status)
    return _kind_without_answer(error)


def _kind_of_answer(error: Exception, status: int) -> ErrorKind:
    preload("google.api_core.exceptions")
    from google.api_core import exceptions

    text = str(error).lower()
    if isinstance(error, exceptions.Aborted):
        return UNAVAILABLE
    if status == 403 and _RATE_REASONS & set(_reasons(error)):
        return UNAVAILABLE
    if status == 403 and any(word in text for word in _RETENTION_WORDS):
        return RETENTION_REFUSED
    if status == 503 and "failed to connect" in text:
        return UNREACHABLE
    return _BY_STATUS.get(status, UNAVAILABLE if status >= 500 else REJECTED)


def _kind_without_answer(error: Exception) -> ErrorKind:
    preload("google.cloud.storage.exceptions", *REST)
    import requests
    from google.auth import exceptions as auth
    from google.cloud.storage.exceptions import DataCorruption

    if isinstance(error, DataCorruption):
        return DAMAGED
    if isinstance(error, auth.TransportError):
        return UNREACHABLE
    if isinstance(error, auth.RefreshError) and error.retryable:
        return UNAVAILABLE
    if isinstance(error, auth.GoogleAuthError):
        return NOT_AUTHORISED
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return UNAVAILABLE
    if isinstance(error, requests.exceptions.RequestException | ConnectionError | TimeoutError):
        return UNREACHABLE
    return _kind_of_cause(error)


def _kind_of_cause(error: Exception) -> ErrorKind:
    """RetryError and the like only wrap what went wrong."""
    cause = getattr(error, "cause", None) or error.__cause__
    return _kind(cause) if isinstance(cause, Exception) and cause is not error else REJECTED


def http_status(error: Exception) -> int | None:
    """The HTTP status that an error stands for (gRPC codes by their HTTP equivalent); None when there was no answer."""
    preload("grpc", "google.api_core.exceptions")
    import grpc
    from google.api_core import exceptions

    if isinstance(error, grpc.RpcError) and not isinstance(error, exceptions.GoogleAPICallError):
        error = exceptions.from_grpc_error(error)
    if isinstance(error, exceptions.GoogleAPICallError):
        return int(error.code) if error.code is not None else 500
    status = getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if status is not None else None


def _reasons(error: Exception) -> list[str]:
    details = getattr(error, "errors", None) or ()
    return [str(item.get("reason", "")) for item in details if isinstance(item, Mapping)]


def _reason(error: Exception) -> str:
    """One sentence: the service's own words without URLs of requests and without line breaks."""
    preload("grpc")
    import grpc

    text = getattr(error, "message", None)
    if text is None and isinstance(error, grpc.RpcError) and callable(getattr(error, "details", None)):
        text = error.details()
    line = " ".join(str(text or error or type(error).__name__).split())
    return line if len(line) <= 300 else line[:297] + "..."
