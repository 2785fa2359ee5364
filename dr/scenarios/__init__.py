"""Drill scenarios: shipped ones beside this file, or a user's own file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from dr.errors import CONFIGURATION, DrError
from dr.model.drills import RowKey, Scenario
from dr.model.strategy import FailureDomain

_KEYS = {"apiVersion", "kind", "metadata", "why", "rows"}


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with the package."""
    return tuple(
        sorted(entry.name[:-5] for entry in resources.files(__name__).iterdir() if entry.name.endswith(".yaml"))
    )


def load_scenario(name: str) -> Scenario:
    """A shipped name or a path. Raises DrError CONFIGURATION with one sentence."""
    if name in shipped():
        return parse_scenario((resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if not path.is_file():
        raise DrError(
            CONFIGURATION,
            f"there is no scenario {name!r}",
            hint=f"shipped ones: {', '.join(shipped())}; or give a file",
        )
    return parse_scenario(path.read_text(encoding="utf-8"), name)


def parse_scenario(text: str, origin: str) -> Scenario:
    """From YAML; every complaint names the file and the field."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DrError(CONFIGURATION, f"{origin} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or data.get("kind") != "Scenario":
        raise DrError(CONFIGURATION, f"{origin}: kind must be Scenario")
    if unknown := set(data) - _KEYS:
        raise DrError(CONFIGURATION, f"{origin}: unknown key {sorted(unknown)[0]!r}")
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise DrError(CONFIGURATION, f"{origin}: metadata.name is missing")
    return Scenario(metadata["name"], str(data.get("why", "")), _rows(data.get("rows"), origin))


def _rows(value: object, origin: str) -> tuple[RowKey, ...]:
    if not isinstance(value, list) or not value:
        raise DrError(CONFIGURATION, f"{origin}: rows must list at least one component with its domains")
    rows = [key for index, entry in enumerate(value) for key in _row(entry, f"{origin}: rows[{index}]")]
    if len(set(rows)) != len(rows):
        raise DrError(CONFIGURATION, f"{origin}: a component and domain stand in rows twice")
    return tuple(rows)


def _row(entry: object, where: str) -> list[RowKey]:
    if not isinstance(entry, dict) or set(entry) != {"component", "domains"} or not isinstance(entry["domains"], list):
        raise DrError(CONFIGURATION, f"{where} must have component and domains")
    try:
        return [RowKey(str(entry["component"]), FailureDomain(domain)) for domain in entry["domains"]]
    except ValueError as error:
        raise DrError(CONFIGURATION, f"{where}: {error}") from None
