"""Checks of a scenario's own: looked at on the restored copy in the drill's last step, each one a check of its row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.errors import DrError
from dr.model.drills import Ask, RowKey, UserCheck
from dr.model.plans import PlannedRestore
from dr.model.points import Check
from dr.model.timeline import format_instant
from dr.plan.expecting import judged_answer, judged_count, judged_object, judged_output

_PLACE = re.compile(r"\{(database|project|prefix|instant|archive|namespace:[^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a restored copy stands, for whoever looks at it."""

    item: PlannedRestore
    namespace: Callable[[str], str]
    """Source side -> target side."""
    namespaces: Sequence[str] = ()
    """Source side, as far as they are known by name."""

    @property
    def database(self) -> str:
        return self.item.target.names.get("database", "")

    @property
    def project(self) -> str:
        return str(self.item.details.get("project", ""))

    def environment(self) -> Mapping[str, str]:
        """For a command: DR_NAMESPACES as `source=copy`, comma-separated."""
        return {
            "DR_COMPONENT": self.item.source.component,
            "DR_DOMAIN": str(self.item.domain),
            "DR_SOURCE": str(self.item.source),
            "DR_INSTANT": format_instant(self.item.instant),
            "DR_POINT": self.item.point.name if self.item.point else "",
            "DR_PREFIX": self.item.target.prefix,
            "DR_PROJECT": self.project,
            "DR_DATABASE": self.database,
            "DR_ARCHIVE": self.item.target.names.get("archive", ""),
            "DR_NAMESPACES": ",".join(f"{name}={self.namespace(name)}" for name in self.namespaces),
        }

    def filled(self, text: str) -> str:
        """`{database}`, `{namespace:energent-ai}`... as they are in the copy."""
        return _PLACE.sub(self._place, text)

    def _place(self, found: re.Match[str]) -> str:
        word = found[1]
        if word.startswith("namespace:"):
            return self.namespace(word.partition(":")[2])
        return self.environment()[f"DR_{word.upper()}"]


@dataclass(frozen=True, slots=True)
class Eyes:
    """What a check looks with. Each raises DrError when it cannot see."""

    command: Callable[[Sequence[str], Mapping[str, str], float], tuple[int, str]]
    """(argv, DR_... of the copy, seconds) -> exit code and output."""
    http: Callable[[str, float], tuple[int, str]]
    count: Callable[[Copy, Mapping[str, object]], int]
    kubernetes: Callable[[Copy, str, str, str], Mapping[str, object] | None]
    """(copy, resource, namespace at the source, name)."""
    copy_of: Callable[[PlannedRestore], Copy]


@dataclass(frozen=True, slots=True)
class Looker:
    """The checks of one scenario."""

    checks: Sequence[UserCheck]
    eyes: Eyes

    def look(self, item: PlannedRestore) -> tuple[Check, ...]:
        """Every check that looks at the item's row. What cannot be seen is a failed check, never an exception."""
        key = RowKey(item.source.component, item.domain)
        copy = self.eyes.copy_of(item)
        return tuple(self._one(check, copy) for check in self.checks if check.looks_at(key))

    def _one(self, check: UserCheck, copy: Copy) -> Check:
        try:
            good, said = self._seen(check, copy)
        except DrError as error:
            good, said = False, error.message
        return Check(check.name, good, f"{check.kind}: {said}")

    def _seen(self, check: UserCheck, copy: Copy) -> tuple[bool, str]:
        asks, seconds = check.asks, check.timeout / timedelta(seconds=1)
        if check.kind is Ask.COMMAND:
            run = asks["run"]
            assert isinstance(run, list)
            argv = [copy.filled(str(word)) for word in run]
            return judged_output(check.expects, *self.eyes.command(argv, copy.environment(), seconds))
        if check.kind is Ask.HTTP:
            return judged_answer(check.expects, *self.eyes.http(copy.filled(str(asks["url"])), seconds))
        if check.kind is Ask.FIRESTORE:
            return judged_count(check.expects, self.eyes.count(copy, asks))
        found = self.eyes.kubernetes(copy, str(asks["resource"]), str(asks["namespace"]), str(asks["name"]))
        good, said = judged_object(check.expects, found)
        return good, f"{asks['resource']} {asks['namespace']}/{asks['name']} {said}"


def blind(_item: PlannedRestore) -> tuple[Check, ...]:
    """Where a scenario has no checks of its own."""
    return ()
