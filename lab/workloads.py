"""Workload Identity's bindings: which Kubernetes ServiceAccount may act as which of the lab's identities.

As `roles/iam.workloadIdentityUser` in production: the annotation on a ServiceAccount only names an identity, and whoever
may write ServiceAccounts could name any; the binding, on Google's side, is what permits it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.iam import Denied, Iam

ANNOTATION = "iam.gke.io/gcp-service-account"
FILE = "workloads.json"
PERMISSION = "iam.serviceAccounts.getAccessToken"
BINDINGS: Mapping[str, tuple[str, ...]] = {
    "capture": ("dr-system/dr-capture",),
    "restore": ("dr-system/dr-restore",),
    "prune": ("dr-system/dr-prune",),
    "app": ("energent-ai/energent-platform",),
}
"""Identity -> `namespace/serviceaccount`, as a lab starts."""


@dataclass(frozen=True, slots=True)
class Workloads:
    """The bindings in `<directory>/workloads.json`, beside iam.json; a change on disk counts at once."""

    directory: Path

    @classmethod
    def create(cls, directory: Path, bindings: Mapping[str, tuple[str, ...]] = BINDINGS) -> Workloads:
        """Write the bindings that a lab starts with."""
        made = cls(directory)
        made._store({name: list(members) for name, members in bindings.items()})
        return made

    def bind(self, name: str, member: str) -> None:
        """Let `namespace/serviceaccount` act as the identity."""
        bindings = self._load()
        self._store({**bindings, name: sorted({*bindings.get(name, ()), member})})

    def unbind(self, name: str, member: str) -> None:
        bindings = self._load()
        self._store({**bindings, name: [one for one in bindings.get(name, ()) if one != member]})

    def identity(self, iam: Iam, email: str, member: str) -> str:
        """The lab's name of the service account `email` (`dr-capture@...` and `capture@...` are capture). Denied when it
        does not exist or `member` may not act as it."""
        local, _, domain = email.partition("@")
        name = local.removeprefix("dr-")
        known = name in iam.names and domain == f"{iam.project}.iam.gserviceaccount.com"
        if not known or member not in self._load().get(name, ()):
            raise Denied(f"{iam.project}.svc.id.goog[{member}]", PERMISSION, f"serviceAccounts/{email}")
        return name

    def _load(self) -> dict[str, list[str]]:
        bindings: dict[str, list[str]] = json.loads((self.directory / FILE).read_text())
        return bindings

    def _store(self, bindings: Mapping[str, list[str]]) -> None:
        temporary = self.directory / f".{FILE}.{secrets.token_hex(4)}"
        temporary.write_text(json.dumps(bindings, indent=1) + "\n")
        os.replace(temporary, self.directory / FILE)
