"""Where Velero keeps what of a backup, and how its resources are reached."""

from __future__ import annotations

import hashlib
import re

from dr.vendors.kubernetes_objects import Resource

METHOD = "velero"

BACKUPS = Resource("velero.io", "v1", "backups")
RESTORES = Resource("velero.io", "v1", "restores")
LOCATIONS = Resource("velero.io", "v1", "backupstoragelocations")

LABEL_PLAN = "dr/plan"
"""On everything a restore creates: the plan's id. Namespaces that carry it are never backed up."""
LABEL_EXPIRES = "dr/expires"
"""Unix seconds after which a reaper may remove it."""
NOTE_SLOT = "dr/slot"
NOTE_ATTEMPT = "dr/attempt"

METADATA = "velero-backup.json"
_SUFFIXES = {
    ".tar.gz": "velero/contents",
    "-resource-list.json.gz": "velero/resource-list",
    "-volumeinfo.json.gz": "velero/volumeinfo",
    "-itemoperations.json.gz": "velero/itemoperations",
    "-results.gz": "velero/results",
    "-logs.gz": "velero/logs",
}
REQUIRED = ("velero/backup", *_SUFFIXES.values())
"""Roles without which a backup is not one, whatever its phase says."""
OTHER = "velero/other"


def role_of(file: str, backup: str) -> str:
    """The role of one file of a backup's folder."""
    if file == METADATA:
        return "velero/backup"
    return _SUFFIXES.get(file.removeprefix(backup), OTHER) if file.startswith(backup) else OTHER


def file_of(role: str, backup: str) -> str:
    """The file that plays a required role."""
    if role == "velero/backup":
        return METADATA
    return backup + next(suffix for suffix, played in _SUFFIXES.items() if played == role)


def renamed(file: str, old: str, new: str) -> str:
    """The same file in a copy whose backup has another name."""
    return new + file.removeprefix(old) if file.startswith(old) and file != METADATA else file


def derived_name(readable: str, *identity: str) -> str:
    """A resource name derived from an identity: `dr-<hash>-<readable>`, at most 63 characters, so also a label value."""
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:10]
    plain = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    return f"dr-{digest}-{plain}"[:63].rstrip("-")


def label_value(text: str) -> str:
    """A valid label value that still tells `text` apart: itself, or its hash when it does not fit."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:40]
