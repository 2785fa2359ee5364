"""What the erasure ledger means for a copy: which documents and namespaces must not be in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dr.model.erasure import Erasure, Subject, SubjectKind


def parse_subject(text: str) -> Subject:
    """`tenant:ID`, `document:PATH`; without a word before it, what has a slash is a path. Raises ValueError."""
    kind, colon, name = text.partition(":")
    if not colon or kind not in list(SubjectKind):
        kind, name = (SubjectKind.DOCUMENT if "/" in text else SubjectKind.TENANT), text
    subject = Subject(SubjectKind(kind), name.strip("/"))
    parts = subject.name.split("/")
    if not all(part.strip() for part in parts):
        raise ValueError(f"{text!r} names nothing")
    if subject.kind is SubjectKind.TENANT and len(parts) > 1:
        raise ValueError(f"{text!r} is no tenant's id")
    if subject.kind is SubjectKind.DOCUMENT and len(parts) % 2:
        raise ValueError(f"{text!r} is a collection; name its document: everything under that is erased too")
    return subject


def erased_tenants(ledger: Iterable[Erasure]) -> frozenset[str]:
    return frozenset(one.subject.name for one in ledger if one.subject.kind is SubjectKind.TENANT)


def erased_paths(ledger: Iterable[Erasure], tenant_documents: str) -> tuple[str, ...]:
    """Paths of documents that are gone with all that is under them. `tenant_documents`: a tenant's, `tenants/{tenant}`."""
    found = {
        one.subject.name
        if one.subject.kind is SubjectKind.DOCUMENT
        else tenant_documents.replace("{tenant}", one.subject.name)
        for one in ledger
    }
    return tuple(sorted(path for path in found if not any(covers([other], path) for other in found - {path})))


def covers(paths: Iterable[str], path: str) -> bool:
    """Whether `path` is one of `paths` or under one: by whole segments."""
    return any(path == one or path.startswith(f"{one}/") for one in paths)


def unerased(namespaces: Sequence[str], tenants: Mapping[str, str], ledger: Iterable[Erasure]) -> tuple[str, ...]:
    """Namespaces without those of erased tenants. `tenants`: namespace -> tenant."""
    erased = erased_tenants(ledger)
    return tuple(name for name in namespaces if tenants.get(name) not in erased)
