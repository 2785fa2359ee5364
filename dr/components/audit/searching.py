"""Which entries of the log a person wants to see. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dr.changelog import Entry
from dr.components.audit.entry import QUARANTINE
from dr.model.timeline import format_instant


@dataclass(frozen=True, slots=True)
class Filter:
    """Patterns in the shell's way (`*.Delete*`), compared without regard to case; one without `*`, `?` or `[` is a part of
    the word. `text` is looked for in the whole entry as it is stored."""

    method: str = ""
    principal: str = ""
    resource: str = ""
    text: str = ""

    def wants(self, line: bytes, entry: Entry) -> bool:
        if entry.key.startswith(QUARANTINE):
            return False
        if self.text and self.text.casefold() not in line.decode().casefold():
            return False
        payload = payload_of(entry)
        wanted = (
            (self.method, method_of(payload)),
            (self.principal, principal_of(payload)),
            (self.resource, resource_of(payload)),
        )
        return all(_matches(pattern, value) for pattern, value in wanted)


def _matches(pattern: str, value: str) -> bool:
    if not pattern:
        return True
    folded, whole = value.casefold(), pattern.casefold()
    return fnmatchcase(folded, whole) if set("*?[") & set(whole) else whole in folded


def payload_of(entry: Entry) -> Mapping[str, object]:
    """The audit record inside; empty for an entry of another kind."""
    return _part(_part(entry.data, "entry"), "protoPayload")


def method_of(payload: Mapping[str, object]) -> str:
    return str(payload.get("methodName", ""))


def principal_of(payload: Mapping[str, object]) -> str:
    return str(_part(payload, "authenticationInfo").get("principalEmail", ""))


def resource_of(payload: Mapping[str, object]) -> str:
    return str(payload.get("resourceName", ""))


def row_of(entry: Entry) -> Mapping[str, object]:
    """For people and JSON: what is asked for most, and the entry as it was logged."""
    payload, body = payload_of(entry), _part(entry.data, "entry")
    return {
        "key": entry.key,
        "at": format_instant(entry.at),
        "severity": str(body.get("severity", "DEFAULT")),
        "service": str(payload.get("serviceName", "")),
        "method": method_of(payload),
        "principal": principal_of(payload),
        "resource": resource_of(payload),
        "entry": body,
    }


def _part(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
