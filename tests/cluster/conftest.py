"""One full lab for the whole session, and each identity's view of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import lifecycle
from lab.kube import Kube, wait_for
from lab.state import Lab

if TYPE_CHECKING:
    from google.cloud.storage import Client


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Started once; `DR_LAB=DIR` takes one that runs already, and leaves it running."""
    if running := os.environ.get("DR_LAB"):
        yield Lab.load(running)
        return
    directory = tmp_path_factory.mktemp("cluster") / "lab"
    try:
        yield lifecycle.up(lifecycle.Wish(directory, options={"snapshot-granularity": "1"}))
    finally:
        lifecycle.down(directory)


@pytest.fixture
def kube(lab: Lab) -> Callable[[str], Kube]:
    """`kube("capture")`: that identity at the API server."""
    return lambda identity: Kube(lab.kubeconfigs[identity])


@pytest.fixture
def storage(lab: Lab) -> Callable[[str], Client]:
    """`storage("capture")`: that identity at the storage server, by the production client with its own key."""

    def client(identity: str) -> Client:
        return storage_client(lab, identity)

    return client


def storage_client(lab: Lab, identity: str) -> Client:
    import requests
    from google.auth.transport.requests import AuthorizedSession, Request
    from google.cloud.storage import Client
    from google.oauth2.service_account import Credentials

    scope = "https://www.googleapis.com/auth/cloud-platform"
    credentials = Credentials.from_service_account_file(str(lab.key(identity)), scopes=[scope])
    for_tokens = requests.Session()
    for_tokens.verify, for_tokens.trust_env = str(lab.ca), False  # REQUESTS_CA_BUNDLE would win over verify
    session = AuthorizedSession(credentials, auth_request=Request(for_tokens))
    session.verify, session.trust_env = str(lab.ca), False
    options = {"api_endpoint": lab.endpoints["storage"]}
    return Client(lab.project, credentials=credentials, client_options=options, _http=session)


@pytest.fixture
def namespace(lab: Lab) -> Iterator[str]:
    """A namespace of this test's own, gone before the next test begins."""
    name, admin = f"test-{secrets.token_hex(4)}", Kube(lab.kubeconfigs["admin"])
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    path = f"/api/v1/namespaces/{name}"
    admin.delete(path)
    wait_for(f"the end of namespace {name}", lambda: admin.find(path) is None, 60)


@pytest.fixture
def lab_directory(tmp_path: Path) -> Iterator[Path]:
    """For tests that start labs of their own: ended whatever happens."""
    directory = tmp_path / "lab"
    yield directory
    lifecycle.down(directory)


PASSED = os.environ.get("DR_PASSED")
"""A file with the names of tests that passed, one a line: a campaign that was stopped does not run them again."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PASSED is None or not Path(PASSED).exists():
        return
    passed = set(Path(PASSED).read_text().splitlines())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if PASSED is not None and report.when == "call" and report.passed:
        with Path(PASSED).open("a") as file:
            file.write(f"{report.nodeid}\n")
