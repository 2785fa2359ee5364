"""Start the lab's Cloud KMS as a process, and reach it as the product does; or a real project's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from dr.vendors.google import GoogleAccess
from dr.vendors.kms import Kms
from lab.grants import apply_grants
from lab.kms.names import CONFIG_KEYS, EVIDENCE_KEY
from lab.state import IDENTITIES
from tests.contract.storage_server import PROJECT, ROOT, Lab
from tests.lab.stack import DIE_WITH_PARENT

__all__ = ["CONFIG_KEYS", "EVIDENCE_KEY", "PROJECT", "KmsServer", "start_lab"]


def start_lab(directory: Path) -> Lab:
    """Identities with the lab's own grants, and the token server."""
    lab = Lab.start(directory, tuple(IDENTITIES))
    apply_grants(lab.iam)
    return lab


@dataclass
class KmsServer:
    """One process over a directory; it can be killed and started again on the same ports."""

    lab: Lab
    directory: Path
    process: subprocess.Popen[str] | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    _clients: dict[str, Kms] = field(default_factory=dict)

    def start(self) -> KmsServer:
        self._clients.clear()
        certificate, key = self.lab.certificate
        flags = ["--dir", self.directory, "--iam", self.lab.directory, "--cert", certificate, "--key", key]
        flags += ["--port", self.ports.get("port", 0), "--control-port", self.ports.get("control_port", 0)]
        flags += [word for name in CONFIG_KEYS for word in ("--encrypt-key", name)] + ["--signing-key", EVIDENCE_KEY]
        command = (sys.executable, "-m", "lab.kms", *map(str, flags))
        wrapped = (sys.executable, "-S", "-E", "-c", DIE_WITH_PARENT, *command)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(wrapped, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("READY "), line
        self.ports = json.loads(line.removeprefix("READY "))
        return self

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it; SIGKILL for a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=20)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def kms(self, name: str) -> Kms:
        """As that identity, on one connection for each."""
        return self._clients.setdefault(name, Kms(self.access(name)))

    def access(self, name: str) -> GoogleAccess:
        endpoint = f"127.0.0.1:{self.ports['port']}"
        return GoogleAccess(self.lab.iam.key_file(name), kms_endpoint=endpoint, ca_file=self.lab.ca.certificate)

    def turn(self, location: str, way: str) -> None:
        """Take a region away (`down`), or bring it back (`up`)."""
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.ports['control_port']}/regions/{location}/{way}"
            assert session.post(url, timeout=10).status_code == 200
