"""What is changed in an object of Kubernetes, wherever it was captured. Each says whether there was anything to change."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


def first_container(body: Body) -> Body | None:
    """Of a workload, to be changed where it stands; None: it has none."""
    containers = body.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or []
    return containers[0] if containers else None


def give_rights_to_another(body: Body) -> bool:
    """The first subject of a role binding is somebody else."""
    subjects = body.get("subjects") or []
    for one in subjects[:1]:
        one["name"] = "somebody-else"
    return bool(subjects)
