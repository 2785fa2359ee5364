"""Which Google identity a pod has: the one that its ServiceAccount's annotation names and a binding permits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from lab.iam import Denied, Iam
from lab.node.api import Api, ApiError, Manifest, Unreachable
from lab.node.metadata import Identity, Refused
from lab.workloads import ANNOTATION, Workloads


@dataclass(frozen=True)
class PodIdentities:
    """What the metadata server asks. Safe to use from several threads."""

    api: Api
    iam: Iam
    workloads: Workloads

    @classmethod
    def open(cls, api: Api, directory: Path) -> PodIdentities:
        """`directory` holds iam.json and workloads.json."""
        return cls(api, Iam.open(directory), Workloads(directory))

    @property
    def project(self) -> str:
        return self.iam.project

    def of(self, pod: Manifest) -> Identity:
        """Raises Refused: 404 without an annotation, 403 without a binding, 503 while the API server is away."""
        namespace, name = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        email = self._annotated(namespace, name)
        try:
            return Identity(
                email, partial(self.iam.token, self.workloads.identity(self.iam, email, f"{namespace}/{name}"))
            )
        except Denied as error:
            raise refused(f"Unable to generate access token; IAM returned 403 Forbidden: {error}", 403) from error

    def _annotated(self, namespace: str, name: str) -> str:
        try:
            account = self.api.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        except (ApiError, Unreachable) as error:
            raise refused(f"the API server does not answer: {error}", 503) from error
        email = ((account or {"metadata": {}})["metadata"].get("annotations") or {}).get(ANNOTATION, "")
        if not email:
            raise refused(
                f"ServiceAccount {namespace}/{name} has no annotation {ANNOTATION}: the pod has no Google identity"
            )
        return str(email)


def refused(message: str, status: int = 404) -> Refused:
    """As the metadata server answers."""
    return Refused(HTTPStatus(status), message)
