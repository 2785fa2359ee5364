"""Start the lab's Cloud Storage as a process, with its token server, and clients that reach it as in production."""

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from google.oauth2 import service_account

from lab.iam import Iam
from lab.pki import Ca, create_ca

ROOT = Path(__file__).parents[2]
PROJECT = "energent-lab"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
IDENTITIES = ("operator", "capture", "restore", "prune", "velero", "app")
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For `preexec_fn`: a test run that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(module: str, *flags: str) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """Run a part of the lab; the process and what its READY line says."""
    command = [sys.executable, "-m", module, *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=die_with_parent)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("READY "), f"{module} did not start: {line!r}"
    return process, json.loads(line.removeprefix("READY "))


def stop(process: subprocess.Popen[str], how: int = signal.SIGTERM) -> None:
    """End it and reap it."""
    process.send_signal(how)
    process.wait(timeout=10)
    if process.stdout is not None:
        process.stdout.close()


@dataclass
class Lab:
    """Certificates, identities and the token server, shared by all servers of a test run."""

    directory: Path
    ca: Ca
    iam: Iam
    certificate: tuple[Path, Path]
    tokens: subprocess.Popen[str]

    @classmethod
    def start(cls, directory: Path, identities: Sequence[str] = IDENTITIES) -> "Lab":
        """Everything but the storage server."""
        ca = create_ca(directory / "pki")
        certificate = ca.issue("storage")
        iam = Iam.create(directory, PROJECT, "", identities)
        iam.grant("operator", ["*"], "*")
        iam.grant("velero", ["storage.*"], "*")
        flags = ["--iam", str(directory), "--cert", str(certificate[0]), "--key", str(certificate[1])]
        tokens, ready = spawn("lab.tokens", *flags)
        iam.retarget(f"https://127.0.0.1:{ready['port']}/token")
        return cls(directory, ca, iam, certificate, tokens)

    def session(self, name: str) -> AuthorizedSession:
        """A REST session of an identity. The environment must not replace the lab's CA."""
        plain = requests.Session()
        plain.trust_env, plain.verify = False, str(self.ca.certificate)
        key = str(self.iam.key_file(name))
        credentials = service_account.Credentials.from_service_account_file(key, scopes=SCOPES)
        session = AuthorizedSession(credentials, auth_request=Request(plain))
        session.trust_env, session.verify = False, str(self.ca.certificate)
        return session


@dataclass
class Server:
    """One storage server process over a directory; it can be killed and started again on the same port."""

    lab: Lab
    directory: Path
    flags: Sequence[str] = ()
    process: subprocess.Popen[str] | None = None
    ports: Mapping[str, int] = field(default_factory=dict)

    def start(self) -> "Server":
        """Start it; after a kill it comes back on the ports it had."""
        certificate, key = self.lab.certificate
        flags = ["--dir", str(self.directory), "--iam", str(self.lab.directory), *self.flags]
        flags += ["--cert", str(certificate), "--key", str(key), "--port", str(self.ports.get("port", 0))]
        flags += ["--plain-port", str(self.ports.get("plain_port", 0))]
        flags += ["--control-port", str(self.ports.get("control_port", 0))]
        self.process, self.ports = spawn("lab.storage", *flags)
        return self

    def kill(self) -> None:
        """As a power cut, as far as a process can have one."""
        assert self.process is not None
        stop(self.process, signal.SIGKILL)
        self.process = None

    def stop(self) -> None:
        """End it politely, if it runs."""
        if self.process is not None:
            stop(self.process)
            self.process = None

    @property
    def url(self) -> str:
        """The main listener."""
        return f"https://127.0.0.1:{self.ports['port']}"

    @property
    def plain(self) -> str:
        """The listener that STORAGE_EMULATOR_HOST would name."""
        return f"http://127.0.0.1:{self.ports['plain_port']}"

    def client(self, name: str = "operator") -> storage.Client:
        """google-cloud-storage as that identity."""
        session = self.lab.session(name)
        options = {"api_endpoint": self.url}
        return storage.Client(PROJECT, credentials=session.credentials, _http=session, client_options=options)

    def control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        """Talk to the control listener."""
        with requests.Session() as session:
            session.trust_env = False
            address = f"http://127.0.0.1:{self.ports['control_port']}{path}"
            answer = session.request(method, address, data=json.dumps(body) if body is not None else None, timeout=10)
        assert answer.status_code < 300, answer.text
        return json.loads(answer.content) if answer.content else {}

    def fault(self, match: Mapping[str, object], action: Mapping[str, object]) -> None:
        """Script one fault."""
        self.control("POST", "/faults", {"match": match, "action": action})
