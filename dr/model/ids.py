"""Names of what is protected and of units of work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from dr.model.timeline import compact_instant, parse_compact

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, order=True)
class SourceId:
    """One protected thing: `appdata/firestore/energent-metadata-production`."""

    component: str
    kind: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.component, self.kind, self.name):
            if not _NAME.fullmatch(part):
                raise ValueError(f"{part!r} is not a name: lower-case letters, digits and hyphens only")

    def __str__(self) -> str:
        return f"{self.component}/{self.kind}/{self.name}"

    @property
    def slug(self) -> str:
        """`appdata.firestore.energent-metadata-production`: one path element."""
        return f"{self.component}.{self.kind}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> SourceId:
        """From either form. Raises ValueError."""
        parts = text.split("/") if "/" in text else text.split(".")
        if len(parts) != 3:
            raise ValueError(f"{text!r} is not a source; write component/kind/name")
        return cls(*parts)


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One unit of work: a source at a due instant. A manual run carries a unique `tag` and never meets a scheduled one."""

    source: SourceId
    due: datetime
    tag: str = ""

    @property
    def id(self) -> str:
        """`appdata.firestore.db@20250528T100000Z` or `...Z-m1a2b3c4`: one path element, order of names is order of time."""
        return f"{self.source.slug}@{compact_instant(self.due)}" + (f"-{self.tag}" if self.tag else "")

    def __str__(self) -> str:
        return self.id

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Inverse of `id`. Raises ValueError."""
        head, separator, tail = text.partition("@")
        if not separator:
            raise ValueError(f"{text!r} is not a slot")
        instant, _, tag = tail.partition("-")
        try:
            return cls(SourceId.parse(head), parse_compact(instant), tag)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a slot: {error}") from None
