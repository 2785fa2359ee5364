"""The erasure ledger: who or what was erased for good, and must not come back with a restore."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SubjectKind(StrEnum):
    """What a subject names."""

    TENANT = "tenant"
    """By its id: its documents and its namespaces."""
    DOCUMENT = "document"
    """By its path: the document and everything under it."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """`tenant:t-001` or `document:tenants/t-001/users/u-7`."""

    kind: SubjectKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One entry of the ledger; it is never taken back."""

    id: str
    subject: Subject
    at: datetime
    by: str
    why: str
