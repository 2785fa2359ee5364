"""The platform, its fill and its writers on the real Firestore emulator: the witness must equal what is stored."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3
from click.testing import CliRunner

from lab import lifecycle
from lab.disaster import disaster
from lab.emulators import firestore_command, wait_listening
from lab.energent.damage import checksums
from lab.energent.documents import Size, world
from lab.energent.store import Put, Store, Target
from lab.energent.values import fingerprint, integer
from lab.energent.witness import Acknowledged, Witness, appdata_source
from lab.energent.world import fill_documents
from lab.energent.writer import Documents, Writer
from lab.grants import APPDATA_VAULT
from lab.iam import Iam
from lab.state import Lab

pytestmark = pytest.mark.lab

SIZE = Size(tenants=4, documents=300)
DEADLINE_S = 30.0


def await_that(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of an emulator of this module's own."""
    port = free_port()
    argv = firestore_command(port)
    with (tmp_path_factory.mktemp("emulator") / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        wait_listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def target(emulator: str, request: pytest.FixtureRequest) -> Target:
    """A database of this test's own."""
    name = request.node.name.replace("_", "-")[:50].strip("-")
    return Target(emulator, "energent-lab", name)


@pytest.fixture
def store(target: Target) -> Iterator[Store]:
    made = Store(target)
    yield made
    made.close()


def last_words(path: Path) -> dict[str, str]:
    """Path -> hash that the witness saw last; deleted ones left out."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {path: digest for path, digest in {line["path"]: line["sha256"] for line in lines}.items() if digest}


def stored(store: Store) -> dict[str, str]:
    return {path: fingerprint(fields) for path, fields in store.walk()}


def test_the_fill_is_recorded_as_it_is_stored(store: Store, target: Target, tmp_path: Path) -> None:
    with Witness(tmp_path / "w.jsonl") as witness:
        written = fill_documents(store, SIZE, appdata_source(target.database), witness)
    assert written == SIZE.documents + 1
    assert last_words(tmp_path / "w.jsonl") == stored(store)


def test_what_the_writer_recorded_is_what_is_stored(store: Store, target: Target, tmp_path: Path) -> None:
    stop = threading.Event()
    with Witness(tmp_path / "w.jsonl") as witness:
        writer = Writer(Documents(store, "s", 4, "tag"), witness, 2000, stop, threading.Event())
        thread = threading.Thread(target=writer.run)
        thread.start()
        await_that("400 writes", lambda: writer.written >= 400)
        stop.set()
        thread.join()
    assert writer.errors == 0
    assert last_words(tmp_path / "w.jsonl") == stored(store)
    assert "" in {json.loads(line)["sha256"] for line in (tmp_path / "w.jsonl").read_text().splitlines()}


def test_names_of_the_database_come_back_relative(store: Store) -> None:
    for put in world(Size(1, 20)):
        store.commit(put)
    assert store.get("tenants/t-001/samples/others") == next(
        put.fields for put in world(Size(1, 20)) if put.path == "tenants/t-001/samples/others"
    )
    assert store.get("tenants/none") is None


class App:
    """The application as its container runs it."""

    def __init__(self, target: Target, log: Path) -> None:
        names = {"FIRESTORE_ENDPOINT": target.endpoint, "FIRESTORE_PROJECT": target.project}
        env = {**os.environ, **names, "FIRESTORE_DATABASE": target.database, "PORT": "0"}
        env = {name: value for name, value in env.items() if name != "GOOGLE_APPLICATION_CREDENTIALS"}
        argv = [sys.executable, "-m", "lab.energent.app"]
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                argv, env=env, stdout=subprocess.PIPE, stderr=errors, preexec_fn=die_with_parent
            )
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline().removeprefix(b"READY "))["port"]

    def health(self) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=DEADLINE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def app(target: Target, tmp_path: Path) -> Iterator[App]:
    made = App(target, tmp_path / "app.log")
    yield made
    made.process.terminate()
    assert made.process.wait(DEADLINE_S) == 0
    assert made.process.stdout is not None
    made.process.stdout.close()


def test_the_platform_is_healthy_only_while_its_database_is_whole(store: Store, app: App, target: Target) -> None:
    assert app.health()[0] == 503
    fill_documents(store, SIZE, "s", None)
    status, body = app.health()
    jobs = [put for put in world(SIZE) if "/jobs/" in put.path]
    assert (status, body["database"], body["tenants"], body["jobs"]) == (200, target.database, 4, len(jobs))
    assert body["latest_job"] == max(int(str(put.fields["seq"]["integerValue"])) for put in jobs if put.fields)
    store.commit(Put("tenants/t-002", None))
    status, body = app.health()
    assert (status, body["error"]) == (503, "3 tenants where meta/platform records 4")
    store.commit(Put("tenants/t-002", {"name": integer(2)}))
    assert app.health()[0] == 200


def test_the_platform_says_which_database_does_not_answer(tmp_path: Path) -> None:
    app = App(Target(f"127.0.0.1:{free_port()}", "p", "d"), tmp_path / "log")
    try:
        status, body = app.health()
        assert (status, body["database"]) == (503, "d")
        assert "UNAVAILABLE" in str(body["error"])
    finally:
        app.process.kill()
        app.process.communicate()


def test_an_acknowledged_write_is_in_the_file_before_record_returns(tmp_path: Path) -> None:
    with Witness(tmp_path / "w.jsonl") as witness:
        witness.record([Acknowledged("s", "p", "h")])
        assert (tmp_path / "w.jsonl").read_bytes().endswith(b"\n")


@pytest.fixture(scope="module")
def data_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Identities and the storage server only."""
    directory = tmp_path_factory.mktemp("storage") / "lab"
    skip = ("firestore-emulator", "pubsub-emulator", "pubsub", "topics", "firestore", "database")
    try:
        yield lifecycle.up(lifecycle.Wish(directory, "data", skip))
    finally:
        lifecycle.down(directory)


class Vault:
    """A vault's bucket over its REST API, as the operator."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._pool = lab, urllib3.PoolManager(ca_certs=str(lab.ca), retries=False)
        self._headers = {"Authorization": f"Bearer {Iam.open(lab.directory).token('operator')}"}

    def put(self, name: str, content: bytes) -> None:
        url = f"{self._lab.endpoints['storage']}/upload/storage/v1/b/{APPDATA_VAULT}/o?uploadType=media&name={quote(name)}"
        assert self._pool.request("POST", url, body=content, headers=self._headers).status == 200

    def get(self, name: str) -> tuple[int, bytes, str]:
        """Status, content, and the crc32c that the server claims."""
        url = f"{self._lab.endpoints['storage']}/storage/v1/b/{APPDATA_VAULT}/o/{quote(name, safe='')}?alt=media"
        answer = self._pool.request("GET", url, headers=self._headers)
        hashes = dict(part.split("=", 1) for part in answer.headers.get("x-goog-hash", "").split(",") if "=" in part)
        return answer.status, answer.data, hashes.get("crc32c", "").strip()


CONTENTS = {"data/small": b"small" * 10, "data/large": bytes(range(256)) * 1000}


@pytest.mark.parametrize("victim", sorted(CONTENTS))
@pytest.mark.parametrize("how", ["flip", "flip --forge", "truncate", "truncate --forge", "drop", "swap"])
def test_damage_in_the_vault_reaches_the_reader(data_lab: Lab, how: str, victim: str) -> None:
    vault, folder = Vault(data_lab), f"{how}{victim}".replace("/", "-").replace(" ", "")
    names = {f"{folder}/{name}": content for name, content in CONTENTS.items()}
    point = f"points/2025/05/28/appdata.firestore.db@20250528T100000Z-{folder}.json"
    for name, content in names.items():
        vault.put(name, content)
    vault.put(point, json.dumps({"spec": {"artefacts": [{"name": name} for name in names]}}).encode())
    mode, *forge = how.split()
    command = ["vault-artefact-damaged", "--dir", str(data_lab.directory), "--point", point, "--how", mode, *forge]
    result = CliRunner().invoke(disaster, [*command, "--artefact", f"*{victim}"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["artefact"] == f"{folder}/{victim}"
    status, content, claimed = vault.get(f"{folder}/{victim}")
    whole = CONTENTS[victim]
    expected = {"flip": len(whole), "truncate": len(whole) // 2, "drop": None}.get(mode, -1)
    if expected is None:
        assert status == 404
    elif mode == "swap":
        assert content == next(other for name, other in CONTENTS.items() if name != victim)
    else:
        assert (status, len(content), content != whole) == (200, expected, True)
        assert (claimed == checksums(content)[0]) is bool(forge)


def test_damage_names_what_there_is_when_nothing_matches(data_lab: Lab) -> None:
    command = [
        "vault-artefact-damaged",
        "--dir",
        str(data_lab.directory),
        "--point",
        "points/2025/05/28/appdata.x.json",
    ]
    result = CliRunner().invoke(disaster, command)
    assert result.exit_code == 1
    assert result.output == f"Error: gs://{APPDATA_VAULT}/points/2025/05/28/appdata.x.json does not exist\n"
