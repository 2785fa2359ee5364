"""Permissions on a project, asked of Cloud Resource Manager: the only way to learn of one without using it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dr.vendors.google import GoogleAccess, translate
from dr.vendors.loading import preload
from dr.vendors.retry import with_retry

HOST = "https://cloudresourcemanager.googleapis.com"
_CALL_S = 30.0


def missing_on_project(access: GoogleAccess, project: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of `wanted` that this identity lacks on the project. Raises DrError NOT_AUTHORISED, NOT_FOUND, UNREACHABLE."""
    held = with_retry(lambda: _held(access, project, wanted), what=f"ask for permissions on project {project}")
    return tuple(name for name in wanted if name not in held)


def _held(access: GoogleAccess, project: str, wanted: Sequence[str]) -> frozenset[str]:
    preload("requests")
    import requests
    from google.auth.exceptions import GoogleAuthError

    url = f"{access.resourcemanager_endpoint or HOST}/v3/projects/{project}:testIamPermissions"
    try:
        answer: Any = access.session().post(url, json={"permissions": list(wanted)}, timeout=_CALL_S)
        answer.raise_for_status()
        return frozenset(answer.json().get("permissions", ()))
    except (requests.RequestException, GoogleAuthError) as error:
        raise translate(error, f"ask for permissions on project {project}") from error
