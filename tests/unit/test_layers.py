"""Imports go one way; vendor SDKs stay at the edge."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "dr").rglob("*.py"))
MIDDLE = {"runbook", "schedules", "changelog", "serve", "run", "components", "stores", "record", "report", "vendors"}
ALLOWED: dict[str, set[str]] = {
    "model": {"model"},
    "plan": {"plan", "model", "ports", "errors"},
    "ports": {"model"},
    "errors": set(),
    "settings": {"settings", "model", "errors", "strategy"},
    "scenarios": {"scenarios", "model", "errors", "strategy"},
    "strategy": {"strategy", "model", "errors", "plan"},
    "stores": {"stores", "vendors", "plan", "model", "ports", "errors"},
    "vendors": {"vendors", "plan", "model", "ports", "errors"},
    "record": {"record", "plan", "model", "ports", "errors"},
    "report": {"report", "plan", "model", "ports", "errors"},
    "changelog": {"changelog", "record", "plan", "model", "ports", "errors"},
    "components": {"components", "changelog", "settings", "vendors", "plan", "model", "ports", "errors"},
    "schedules": {"schedules", "plan", "model", "ports", "errors"},
    "serve": {"serve", "report", "plan", "model", "ports", "errors"},
    "run": {"run", "record", "plan", "model", "ports", "errors"},
    "runbook": {"runbook", "model", "ports", "errors"},
    "app": MIDDLE | {"plan", "model", "ports", "errors", "settings", "strategy", "scenarios", "app"},
    "cli": MIDDLE | {"app", "cli", "plan", "model", "ports", "errors", "settings", "strategy", "scenarios"},
}
SDK_HOMES = {
    "google": ("dr/vendors/", "dr/stores/gcs.py"),
    "grpc": ("dr/vendors/",),
    "requests": ("dr/vendors/", "dr/stores/gcs.py"),
    "urllib3": ("dr/vendors/", "dr/stores/gcs.py"),
    "kubernetes": ("dr/vendors/",),
    "apscheduler": ("dr/run/scheduler.py",),
    "tenacity": ("dr/vendors/retry.py",),
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(dotted: str) -> str:
    """`dr.plan.due` -> `plan`; `dr.errors.DrError` -> `errors`; `dr` itself -> ``."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here in {"", "__init__", "__main__"}:
        return
    used = {room(name) for name in imported(path) if name.split(".")[0] == "dr"} - {"", "__version__"}
    assert used <= ALLOWED[here], f"{here} must not import {sorted(used - ALLOWED[here])}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sdks_stay_at_the_edge(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    for name in imported(path):
        homes = SDK_HOMES.get(name.split(".")[0])
        exempt = name.startswith(("google.protobuf", "google_crc32c"))
        assert homes is None or exempt or relative.startswith(homes), f"{relative} imports {name}"


def test_model_needs_only_the_standard_library() -> None:
    for path in (ROOT / "dr/model").glob("*.py"):
        outside = {name.split(".")[0] for name in imported(path)} - {"dr", "__future__"}
        import sys

        assert outside <= set(sys.stdlib_module_names), f"{path.name} imports {sorted(outside)}"


def test_dr_never_imports_the_lab() -> None:
    for path in MODULES:
        assert not any(name.split(".")[0] == "lab" for name in imported(path)), path


LATE = ("google", "grpc", "requests", "urllib3", "kubernetes")


def test_sdks_that_are_imported_late_are_imported_one_at_a_time() -> None:
    """An import statement for an SDK inside a function comes after `preload(...)`."""
    for path in (ROOT / "dr").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            late = [
                node.lineno
                for node in ast.walk(function)
                if isinstance(node, ast.ImportFrom | ast.Import)
                and (node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
                in LATE
            ]
            loads = [
                node.lineno
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "preload"
            ]
            assert not late or (loads and min(loads) < min(late)), f"{path.name}: {function.name}"
