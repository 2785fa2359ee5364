"""Drill scenarios: shipped ones in `runbooks/scenarios`, or a user's own file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from dr.errors import CONFIGURATION, DrError
from dr.model.drills import Scenario


def folder() -> Path:
    """Inside the package when it is installed, beside it in a clone."""
    package = Path(str(resources.files("dr")))
    inside = package / "runbooks" / "scenarios"
    return inside if inside.is_dir() else package.parent / "runbooks" / "scenarios"


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with `dr`."""
    return tuple(sorted(path.stem for path in folder().glob("*.yaml")))


def load_scenario(name: str) -> Scenario:
    """A shipped name or a path. Raises DrError CONFIGURATION with one sentence."""
    path = folder() / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise DrError(
            CONFIGURATION,
            f"there is no scenario {name!r}",
            hint=f"shipped ones: {', '.join(shipped())}; or give a file",
        )
    return parse_scenario(path.read_bytes(), name)


def parse_scenario(content: bytes | str, origin: str) -> Scenario:
    """From YAML; every complaint names the file, the line and the field. Imports pydantic."""
    from dr.scenarios.load import scenario_of

    return scenario_of(content.encode() if isinstance(content, str) else content, origin)
