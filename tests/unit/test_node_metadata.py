"""The metadata server of the lab's pods: what google-auth asks is answered as on GKE, and nobody gets another's identity."""

from __future__ import annotations

import asyncio
import json
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from google.auth import exceptions
from google.auth.compute_engine import Credentials

from lab.iam import Denied, Iam
from lab.node.api import ApiError, Unreachable
from lab.node.identity import PodIdentities, refused
from lab.node.metadata import Identity, MetadataServer, Refused, reply
from lab.workloads import ANNOTATION, Workloads

FLAVOR = {"metadata-flavor": "Google"}
EMAIL = "dr-capture@p.iam.gserviceaccount.com"
V1 = "/computeMetadata/v1/"


def someone() -> Identity:
    return Identity(EMAIL, lambda seconds: f"token for {seconds} s")


def ask(path: str, headers: dict[str, str] = FLAVOR) -> tuple[HTTPStatus, str]:
    answer = reply("p", path, headers, someone)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("project/project-id", "p"),
        ("universe/universe-domain", "googleapis.com"),
        ("instance/service-accounts/", f"default/\n{EMAIL}/\n"),
        ("instance/service-accounts/default/email", EMAIL),
        (f"instance/service-accounts/{EMAIL}/email", EMAIL),
        ("instance/service-accounts/default/scopes", "https://www.googleapis.com/auth/cloud-platform"),
    ],
)
def test_what_can_be_read(path: str, text: str) -> None:
    assert ask(V1 + path) == (HTTPStatus.OK, text)


def test_a_token_is_json() -> None:
    _, body = ask(f"{V1}instance/service-accounts/default/token?scopes=x")
    assert json.loads(body) == {"access_token": "token for 3600 s", "expires_in": 3600, "token_type": "Bearer"}


@pytest.mark.parametrize("headers", [{}, {"metadata-flavor": "Other"}, FLAVOR | {"x-forwarded-for": "1.2.3.4"}])
@pytest.mark.parametrize("path", ["project/project-id", "instance/service-accounts/default/token"])
def test_without_the_header_or_through_a_proxy_nothing_is_told(path: str, headers: dict[str, str]) -> None:
    status, body = ask(V1 + path, headers)
    assert status == HTTPStatus.FORBIDDEN
    assert "token for" not in body


@pytest.mark.parametrize(
    "path",
    [
        "instance/service-accounts/other@p.iam.gserviceaccount.com/token",
        "instance/disks",
        "instance/service-accounts/default/x",
    ],
)
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert ask(V1 + path)[0] == HTTPStatus.NOT_FOUND


# --- who is it


class Cluster:
    """The API server as far as the metadata server asks it."""

    def __init__(self, **accounts: Any) -> None:
        self.accounts, self.error = accounts, None

    def find(self, path: str) -> Any:
        if self.error:
            raise self.error
        return self.accounts.get(path.rpartition("/")[2])


def account(email: str) -> Any:
    return {"metadata": {"annotations": {ANNOTATION: email}}}


def pod(name: str, namespace: str = "dr-system") -> Any:
    return {"metadata": {"namespace": namespace}, "spec": {"serviceAccountName": name}}


@pytest.fixture
def identities(tmp_path: Path) -> PodIdentities:
    iam = Iam.create(tmp_path, "p", "", ["capture", "app"])
    cluster: Any = Cluster(
        capture=account(EMAIL),
        plain=account("capture@p.iam.gserviceaccount.com"),
        thief=account(EMAIL),
        strange=account("dr-capture@other.iam.gserviceaccount.com"),
        unknown=account("dr-nobody@p.iam.gserviceaccount.com"),
        bare={"metadata": {}},
    )
    bindings = {"capture": ("dr-system/capture", "dr-system/plain", "dr-system/strange"), "app": ("dr-system/unknown",)}
    return PodIdentities(cluster, iam, Workloads.create(tmp_path, bindings))


@pytest.mark.parametrize("name", ["capture", "plain"])
def test_annotation_and_binding_make_an_identity(identities: PodIdentities, name: str) -> None:
    token = identities.of(pod(name)).token(60)
    assert identities.iam.identify(f"Bearer {token}") == "capture"


@pytest.mark.parametrize(
    ("name", "namespace", "status"),
    [
        ("bare", "dr-system", 404),
        ("absent", "dr-system", 404),
        ("thief", "dr-system", 403),
        ("capture", "elsewhere", 403),
        ("strange", "dr-system", 403),
        ("unknown", "dr-system", 403),
    ],
)
def test_neither_alone_is_enough(identities: PodIdentities, name: str, namespace: str, status: int) -> None:
    """A ServiceAccount of that name in another namespace, and a good annotation on another ServiceAccount, are nobody."""
    with pytest.raises(Refused) as caught:
        identities.of(pod(name, namespace))
    assert caught.value.status == status


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "x"), Unreachable("down")])
def test_an_api_server_that_is_away_is_a_reason_to_ask_again(identities: PodIdentities, error: Exception) -> None:
    identities.api.error = error  # type: ignore[attr-defined]
    with pytest.raises(Refused) as caught:
        identities.of(pod("capture"))
    assert caught.value.status == 503


def test_bindings_come_and_go_while_it_runs(identities: PodIdentities, tmp_path: Path) -> None:
    Workloads(tmp_path).bind("capture", "dr-system/thief")
    assert identities.of(pod("thief")).email == EMAIL
    Workloads(tmp_path).unbind("capture", "dr-system/thief")
    with pytest.raises(Refused):
        identities.of(pod("thief"))
    with pytest.raises(Denied, match=r"p\.svc\.id\.goog\[dr-system/thief\] does not have iam"):
        identities.workloads.identity(identities.iam, EMAIL, "dr-system/thief")


# --- on the wire, by google-auth


def of_address(ip: str) -> Identity:
    if ip != "127.20.0.7":
        raise refused(f"no pod has the address {ip}")
    return someone()


async def _with_server(work: Any) -> Any:
    server = MetadataServer("p", of_address)
    await server.start()
    return await asyncio.to_thread(work, server)


def test_google_auth_finds_it_and_only_the_pod_of_that_address_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.compute_engine import _metadata
    from google.auth.transport.requests import Request

    def work(server: MetadataServer) -> tuple[str, str]:
        for name, value in server.environment("127.20.0.7").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.environment("127.20.0.7")["GCE_METADATA_HOST"])
        assert _metadata.ping(Request())
        found = Credentials()
        found.refresh(Request())
        other = server.environment("127.20.0.8")["GCE_METADATA_HOST"]
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", other)
        with pytest.raises(exceptions.RefreshError):
            Credentials().refresh(Request())
        return found.token, found.service_account_email

    assert asyncio.run(_with_server(work)) == ("token for 3600 s", EMAIL)


@pytest.mark.parametrize("sent", [b"", b"GET", b"\r\n\r\n", b"x" * 40_000, b"POST / HTTP/1.1\r\n\r\n"])
def test_nonsense_ends_the_connection_and_nothing_else(sent: bytes) -> None:
    def work(server: MetadataServer) -> tuple[bytes, bytes]:
        host, _, port = server.environment("127.20.0.7")["GCE_METADATA_HOST"].partition(":")
        answers = []
        for content in (sent, b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                try:
                    answers.append(connection.makefile("rb").read())
                except ConnectionError:
                    answers.append(b"")
        return answers[0], answers[1]

    first, second = asyncio.run(_with_server(work))
    assert b"token" not in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\n")
