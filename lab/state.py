"""What a lab is, for whoever uses it: `Lab.load(directory)` reads the `lab.json` that the supervisor writes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = "energent-lab"
REGION = "us-central1"
VAULT_REGION = "us-east1"
DATABASE = "energent-metadata-production"
STATE_FILE = "lab.json"
SOCKET_FILE = "control.sock"
MARKER = "DR_LAB_ID"
"""Environment variable that every process of a lab inherits: the only ground on which one is ever killed."""
AUDIT_SINK = "energent-security-sink"
"""The sink, its topic and the subscription that it is archived from."""
IDENTITIES = ("app", "capture", "restore", "prune", "velero", "firestore-agent", "logging-agent", "operator")


class LabError(Exception):
    """One clear sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running lab. Paths are absolute; `endpoints` and `kubeconfigs` hold what `scope` ("data" or "full") has."""

    directory: Path
    id: str
    scope: str
    pid: int
    project: str
    region: str
    database: str
    ca: Path
    keys: Path
    settings: Path
    cache: Path
    endpoints: Mapping[str, str]
    """storage, storage_plain, storage_control, tokens, kubernetes: URLs; firestore, firestore_emulator, pubsub...: host:port."""
    kubeconfigs: Mapping[str, Path]
    topics: Mapping[str, str]

    @classmethod
    def load(cls, directory: Path | str = ".lab") -> Lab:
        """Raises LabError when there is no lab, or only the remains of one."""
        home = Path(directory).resolve()
        try:
            raw = json.loads((home / STATE_FILE).read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise LabError(f"no lab runs in {home}: start one with `python -m lab up --dir {directory}`") from None
        paths = {name: Path(raw[name]) for name in ("directory", "ca", "keys", "settings", "cache")}
        kubeconfigs = {name: Path(path) for name, path in raw["kubeconfigs"].items()}
        lab = cls(**{**raw, **paths, "kubeconfigs": kubeconfigs})
        if not alive(lab.pid, lab.id):
            raise LabError(f"the lab in {home} is dead: clear it away with `python -m lab down --dir {directory}`")
        return lab

    def save(self) -> None:
        """Replace lab.json in one step."""
        temporary = self.directory / f".{STATE_FILE}"
        temporary.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")
        os.replace(temporary, self.directory / STATE_FILE)

    def key(self, name: str) -> Path:
        """Service-account key file of an identity."""
        return self.keys / f"{name}.json"

    def log(self, part: str) -> Path:
        return self.directory / "logs" / f"{part}.log"

    @property
    def cloud_log(self) -> Path:
        return cloud_log(self.directory / "data" / "logging")

    def ask(self, request: Mapping[str, object], timeout_s: float = 60) -> dict[str, object]:
        """One request to the supervisor's control socket; LabError with its refusal, or when it is gone."""
        return ask(self.directory, request, timeout_s)


def cloud_log(logging: Path) -> Path:
    """The file of Cloud Logging's entries, in the part's own directory."""
    return logging / "entries.db"


def marked(pid: int | str) -> str:
    """The lab id that process `pid` carries; "" for other people's processes and for none."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    prefix = f"{MARKER}=".encode()
    return next((item[len(prefix) :].decode() for item in environ.split(b"\0") if item.startswith(prefix)), "")


def alive(pid: int, lab_id: str) -> bool:
    """Whether `pid` still is a process of that lab (pids are reused; zombies show an empty environment)."""
    return bool(lab_id) and marked(pid) == lab_id


def processes(lab_id: str) -> tuple[int, ...]:
    """All processes of a lab, but the caller."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return tuple(pid for pid in pids if pid != os.getpid() and alive(pid, lab_id))


def connect(directory: Path, timeout_s: float) -> socket.socket:
    """The control socket, reached through a directory descriptor: a socket's own path may not exceed 107 bytes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_FILE}")
    finally:
        os.close(descriptor)
    return connection


def ask(directory: Path, request: Mapping[str, object], timeout_s: float = 60) -> dict[str, object]:
    """See `Lab.ask`."""
    try:
        with connect(directory, timeout_s) as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            line = stream.readline()
    except OSError as error:
        raise LabError(f"the supervisor of {directory} does not answer ({error.strerror or error})") from error
    if not line:
        raise LabError(f"the supervisor of {directory} ended before it answered")
    answer: dict[str, object] = json.loads(line)
    if "error" in answer:
        raise LabError(str(answer["error"]))
    return answer
