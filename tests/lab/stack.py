"""A Firestore stack for tests, without a supervisor: emulators, tokens, Cloud Storage, the front, the Pub/Sub proxy."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import requests
from google.cloud import firestore
from google.cloud.firestore_admin_v1 import FirestoreAdminClient
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.oauth2 import service_account

from lab.children import PR_SET_PDEATHSIG
from lab.emulators import firestore_command, pubsub_command, wait_listening
from lab.iam import Iam
from lab.parts import Site
from lab.pki import Ca, create_ca
from lab.state import LabError

DIE_WITH_PARENT = f"""
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, signal.SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Not `preexec_fn`: gRPC's fork handlers run in such a child and now and then kill it before it becomes the command."""
ROOT = Path(__file__).resolve().parents[2]
PROJECT = "energent-lab"
IDENTITIES = ("app", "capture", "restore", "prune", "velero", "firestore-agent", "operator", "stranger")
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
VAULT = "energent-vault-appdata"


def eventually(condition: Callable[[], Any], deadline_s: float = 60, what: str = "the condition") -> Any:
    """The first true value of `condition`; AssertionError after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {deadline_s} s"
        time.sleep(0.02)
    return value


@dataclass(slots=True)
class Stack:
    """Addresses and clients. `granularity` is the lab's "minute"."""

    directory: Path
    ca: Ca
    iam: Iam
    site: Site
    granularity: float
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def front(self) -> str:
        return f"127.0.0.1:{self.ports['firestore']}"

    @property
    def storage(self) -> str:
        return f"https://127.0.0.1:{self.ports['storage']}"

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.ports['firestore.control']}"

    @property
    def pubsub(self) -> str:
        return f"127.0.0.1:{self.ports['pubsub']}"

    def spawn(self, name: str, command: tuple[str, ...]) -> subprocess.Popen[str]:
        """Start a part; dies with us; its log is `<name>.log`."""
        log = (self.directory / f"{name}.log").open("a")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        self.commands[name] = command
        self.processes[name] = subprocess.Popen(
            (sys.executable, "-S", "-E", "-c", DIE_WITH_PARENT, *command),
            cwd=self.directory,
            stdout=subprocess.PIPE if command[1] == "-m" else log,
            stderr=log,
            env=environment,
            text=True,
        )
        return self.processes[name]

    def listening(self, name: str) -> None:
        """Until the emulator serves; its log when it does not."""
        try:
            wait_listening(self.site.port(name), alive=lambda: self.processes[name].poll() is None)
        except LabError as error:
            raise AssertionError(f"{error}\n{(self.directory / f'{name}.log').read_text()[-2000:]}") from error

    def module(self, name: str, *arguments: object) -> dict[str, int]:
        """Start `python -m lab.<name>`; what its READY line says."""
        process = self.spawn(name, (sys.executable, "-m", f"lab.{name}", *map(str, arguments)))
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("READY "), (self.directory / f"{name}.log").read_text()[-3000:]
        ready: dict[str, int] = json.loads(line.removeprefix("READY "))
        return ready

    def stop(self, name: str, signum: int = signal.SIGTERM) -> None:
        """End one part and wait for it."""
        process = self.processes.pop(name)
        process.send_signal(signum)
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()

    def start_front(self, **flags: object) -> None:
        """The Firestore front, at the port that it had before if it had one."""
        settings = {"granularity": self.granularity, **flags}
        words: list[object] = ["--snapshot-granularity", settings.pop("granularity")]
        for name, value in settings.items():
            words += [f"--{name.replace('_', '-')}", value]
        certificate, key = self.ca.directory / "service.pem", self.ca.directory / "service.key"
        addresses = ("--emulator", f"127.0.0.1:{self.site.port('firestore-emulator')}", "--storage", self.storage)
        events = ("--pubsub", f"127.0.0.1:{self.site.port('pubsub-emulator')}")
        state = ("--iam", self.directory, "--dir", self.directory / "front", "--cert", certificate, "--key", key)
        ports = ("--port", self.site.port("firestore"), "--control-port", self.site.port("firestore.control"))
        ready = self.module("firestore", *addresses, *events, *state, *ports, *words)
        self.ports |= {"firestore": ready["port"], "firestore.control": ready["control_port"]}

    def credentials(self, name: str) -> Any:
        return service_account.Credentials.from_service_account_file(str(self.iam.key_file(name)), scopes=SCOPES)

    def channel(self, name: str, address: str) -> grpc.Channel:
        """TLS and an access token of `name`."""
        roots = grpc.ssl_channel_credentials(self.ca.certificate.read_bytes())
        token = grpc.access_token_call_credentials(self.iam.token(name))
        return grpc.secure_channel(address, grpc.composite_channel_credentials(roots, token))

    def admin(self, name: str = "operator") -> FirestoreAdminClient:
        """The real admin client."""
        transport = FirestoreAdminGrpcTransport(channel=self.channel(name, self.front))
        return FirestoreAdminClient(transport=transport)

    def client(self, database: str, name: str = "operator") -> Any:
        """The real high-level client."""
        made = firestore.Client(project=PROJECT, database=database, credentials=self.credentials(name))
        made._firestore_api_internal = self.data(name)
        return made

    def data(self, name: str = "operator") -> FirestoreClient:
        """The real low-level client."""
        return FirestoreClient(transport=FirestoreGrpcTransport(channel=self.channel(name, self.front)))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Operations that start stay under way until the end of the block."""
        requests.post(f"{self.control}/hold", timeout=5)
        try:
            yield
        finally:
            requests.post(f"{self.control}/release", timeout=5)

    def database(self, name: str, **more: Any) -> str:
        """Make a database (with point-in-time recovery unless told otherwise); its resource name."""
        body = {"location_id": "us-central1", "type_": 1, "point_in_time_recovery_enablement": 1, **more}
        request = {"parent": f"projects/{PROJECT}", "database_id": name, "database": body}
        self.admin().create_database(request=request).result(timeout=30)
        return f"projects/{PROJECT}/databases/{name}"

    def bucket(self, name: str) -> str:
        """Make a bucket; its gs:// URI."""
        headers = {"Authorization": f"Bearer {self.iam.token('operator')}"}
        url = f"{self.storage}/storage/v1/b?project={PROJECT}"
        answer = requests.post(url, json={"name": name}, headers=headers, verify=str(self.ca.certificate), timeout=20)
        assert answer.status_code in (200, 409), answer.text
        return f"gs://{name}"

    def upload(self, bucket: str, name: str, content: bytes) -> None:
        """Put an object as the operator."""
        headers = {"Authorization": f"Bearer {self.iam.token('operator')}"}
        url, query = f"{self.storage}/upload/storage/v1/b/{bucket}/o", {"uploadType": "media", "name": name}
        verify = str(self.ca.certificate)
        answer = requests.post(url, params=query, data=content, headers=headers, verify=verify, timeout=20)
        assert answer.status_code == 200, answer.text

    def objects(self, bucket: str, prefix: str) -> dict[str, bytes]:
        """Names and contents below a prefix."""
        headers = {"Authorization": f"Bearer {self.iam.token('operator')}"}
        verify, base = str(self.ca.certificate), f"{self.storage}/storage/v1/b/{bucket}/o"
        listing = requests.get(base, params={"prefix": prefix}, headers=headers, verify=verify, timeout=20).json()
        found = {}
        for item in listing.get("items", ()):
            url = f"{base}/{requests.utils.quote(item['name'], safe='')}?alt=media"
            found[item["name"]] = requests.get(url, headers=headers, verify=verify, timeout=20).content
        return found


@contextlib.contextmanager
def running(directory: Path, granularity: float = 1, **front: object) -> Iterator[Stack]:
    """Everything up; all of it gone at the end."""
    ca = create_ca(directory / "pki")
    ca.issue("service")
    site = Site(directory, "test", directory)
    tls = site.certificate("service")
    token_port = site.port("tokens")
    iam = Iam.create(directory, PROJECT, f"https://127.0.0.1:{token_port}/token", IDENTITIES)
    _grant(iam)
    stack = Stack(directory, ca, iam, site, granularity)
    try:
        stack.spawn("firestore-emulator", firestore_command(site.port("firestore-emulator")))
        stack.spawn("pubsub-emulator", pubsub_command(site.port("pubsub-emulator")))
        stack.module("tokens", "--iam", directory, "--port", token_port, *tls)
        storage = stack.module("storage", "--dir", directory / "storage", "--iam", directory, "--control-port", 0, *tls)
        stack.ports |= {"storage": storage["port"], "tokens": token_port}
        upstream = ("--emulator", f"127.0.0.1:{site.port('pubsub-emulator')}")
        stack.ports["pubsub"] = stack.module("pubsub", *upstream, "--iam", directory, *tls)["port"]
        stack.listening("firestore-emulator")
        stack.listening("pubsub-emulator")
        stack.start_front(**front)
        stack.bucket(VAULT)
        yield stack
    finally:
        for name in reversed(list(stack.processes)):
            stack.stop(name, signal.SIGKILL if name.endswith("emulator") else signal.SIGTERM)


def _grant(iam: Iam) -> None:
    iam.grant("operator", ["*"], "*")
    iam.grant("app", ["datastore.entities.*", "datastore.databases.get"], f"projects/{PROJECT}")
    iam.grant("firestore-agent", [f"storage.objects.{verb}" for verb in ("get", "list", "create")], f"buckets/{VAULT}")
    iam.grant("firestore-agent", ["storage.buckets.get"], f"buckets/{VAULT}")
