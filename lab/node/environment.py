"""A container's environment and command line, resolved as a kubelet resolves them. Pure but for the lookup passed in."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

from lab.node.api import Manifest

Lookup = Callable[[str, str], Manifest | None]
"""(kind, name) -> the ConfigMap or Secret of the pod's namespace, or None."""

_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class ConfigError(Exception):
    """Something that the container refers to does not exist (yet)."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """$(NAME) becomes the variable, $$ a dollar sign; an unknown name stays as it is written."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else env.get(match[1], match[0])

    return _VARIABLE.sub(one, text)


def container_env(
    container: Manifest, pod: Manifest, status: Manifest, lookup: Lookup, base: Mapping[str, str]
) -> dict[str, str]:
    """`base`, then envFrom, then env, later ones winning. Raises ConfigError when a required reference is missing."""
    env = dict(base)
    for entry in container.get("envFrom", []):
        env |= _whole(entry, lookup)
    for entry in container.get("env", []):
        if (value := _value(entry, pod, status, lookup)) is not None:
            env[entry["name"]] = expand(value, env) if "valueFrom" not in entry else value
    return env


def entries(kind: str, found: Manifest) -> dict[str, bytes]:
    """The contents of a ConfigMap or a Secret as bytes."""
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def contents(kind: str, name: str, lookup: Lookup, *, optional: bool) -> dict[str, bytes]:
    """All entries of the named ConfigMap or Secret; empty for an optional one that is missing. Raises ConfigError."""
    found = lookup(kind, name)
    if found is None and not optional:
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    return entries(kind, found) if found else {}


def _whole(entry: Manifest, lookup: Lookup) -> dict[str, str]:
    kind, reference = ("Secret", entry["secretRef"]) if "secretRef" in entry else ("ConfigMap", entry["configMapRef"])
    found = contents(kind, reference["name"], lookup, optional=bool(reference.get("optional")))
    return {entry.get("prefix", "") + key: value.decode() for key, value in found.items()}


def _value(entry: Manifest, pod: Manifest, status: Manifest, lookup: Lookup) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value", ""))
    if field := source.get("fieldRef"):
        return field_value(field["fieldPath"], pod, status)
    if "resourceFieldRef" in source:
        return "0"  # processes here have no limits of their own
    kind, reference = ("Secret", source["secretKeyRef"]) if "secretKeyRef" in source else _config_map(source)
    optional = bool(reference.get("optional"))
    found = contents(kind, reference["name"], lookup, optional=optional)
    if reference["key"] in found:
        return found[reference["key"]].decode()
    if optional:
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _config_map(source: Manifest) -> tuple[str, Manifest]:
    if "configMapKeyRef" not in source:
        raise ConfigError(f"this node cannot resolve {', '.join(source)}")
    return "ConfigMap", source["configMapKeyRef"]


def field_value(path: str, pod: Manifest, status: Manifest) -> str:
    """The downward API: `metadata.name`, `metadata.labels['x']`, `status.podIP`, `spec.nodeName`... Raises ConfigError."""
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        found = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(found.items()))
    section, _, name = path.partition(".")
    place = {"metadata": pod["metadata"], "spec": pod["spec"], "status": status}.get(section)
    if place is None or name not in place:
        raise ConfigError(f"this node cannot resolve the field {path}")
    return str(place[name])
