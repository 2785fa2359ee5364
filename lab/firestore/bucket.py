"""Objects of a bucket, as the Firestore service agent sees them: it writes exports and reads imports, with its own permissions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import grpc
import requests

from lab.grpcproxy import Refused
from lab.iam import Iam

AGENT = "firestore-agent"
TIMEOUT_S = 120
_URI = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:/(.*))?")


def parse_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix (no slash at its end) of a gs:// URI; INVALID_ARGUMENT otherwise."""
    found = _URI.fullmatch(uri)
    if found is None:
        text = f"Invalid Google Cloud Storage URI: {uri!r}. It must be of the form gs://BUCKET_NAME[/NAMESPACE_PATH]."
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, text)
    return found[1], (found[2] or "").rstrip("/")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket behind the storage server at `url`."""

    url: str
    ca: Path
    iam: Iam
    name: str

    def names(self, prefix: str) -> Iterator[str]:
        """Names below a prefix."""
        token = ""
        while True:
            query = {"prefix": prefix, "fields": "items(name),nextPageToken", **({"pageToken": token} if token else {})}
            answer = self._call("GET", f"/storage/v1/b/{self.name}/o", query)
            page = answer.json()
            yield from (str(item["name"]) for item in page.get("items", ()))
            token = page.get("nextPageToken", "")
            if not token:
                return

    def upload(self, name: str, path: Path) -> None:
        """Create the object."""
        query = {"uploadType": "media", "name": name, "ifGenerationMatch": "0"}
        with path.open("rb") as file:
            self._call("POST", f"/upload/storage/v1/b/{self.name}/o", query, file if path.stat().st_size else b"")

    def download(self, name: str, path: Path) -> None:
        """Its content into a file."""
        answer = self._call("GET", f"/storage/v1/b/{self.name}/o/{quote(name, safe='')}", {"alt": "media"})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.content)

    def require(self, permission: str) -> None:
        """PERMISSION_DENIED unless the service agent may."""
        if not self.iam.allowed(AGENT, permission, f"buckets/{self.name}"):
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, self._refusal(f"{permission} is missing"))

    def _call(
        self, method: str, path: str, query: dict[str, str], data: BinaryIO | bytes | None = None
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.iam.token(AGENT)}", "Content-Type": "application/octet-stream"}
        answer = requests.request(
            method,
            self.url + path,
            params=query,
            data=data,
            headers=headers,
            verify=str(self.ca),
            timeout=TIMEOUT_S,
        )
        if answer.status_code in (401, 403):
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, self._refusal(answer.text[:200]))
        if answer.status_code == 404:
            raise Refused(
                grpc.StatusCode.NOT_FOUND, f"Google Cloud Storage file or bucket does not exist: {self.name} {path}"
            )
        if answer.status_code >= 300:
            raise Refused(
                grpc.StatusCode.UNAVAILABLE, f"Cloud Storage answered {answer.status_code}: {answer.text[:200]}"
            )
        return answer

    def _refusal(self, why: str) -> str:
        return f"Service account {self.iam.email(AGENT)} does not have access to bucket {self.name}: {why}"
