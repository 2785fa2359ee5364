"""One tenant of a hundred goes back over the living database; the others, hashed before and after, are not touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr.model.timeline import format_instant
from dr.stores.opening import open_store
from dr.vendors.google import GoogleAccess
from lab.grants import CONTROL_BUCKET
from lab.state import Lab
from tests.lab.staged import SOURCE, Stage, reached, staged

TENANT, OTHER = "t-001", "t-002"
SIGKILLED = -9
TENANTS = 100


def parted(stage: Stage) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of the tenant's documents, and of all the others, as they live now."""
    found = stage.contents(stage.firestore("operator"), SOURCE.name)
    own = {path: sha for path, sha in found.items() if f"{path}/".startswith(f"tenants/{TENANT}/")}
    return own, {path: sha for path, sha in found.items() if path not in own}


def narrowed(stage: Stage, at: str, *more: str) -> tuple[str, ...]:
    return (
        "restore",
        *more,
        "--point-in-time",
        at,
        "--component",
        "appdata",
        "--tenant",
        TENANT,
        "--over",
        SOURCE.name,
    )


@pytest.mark.timeout(600)  # a dozen commands, one after the other
def test_one_tenant_of_a_hundred_goes_back_and_forth_and_nobody_else_is_touched(tmp_path: Path) -> None:
    with staged(tmp_path, documents=60, snapshot_granularity="1") as stage:
        size = ("--tenants", str(TENANTS), "--documents", "500", "--only", "firestore")
        filled = stage.dr.module("lab.energent", "fill", "--lab", str(stage.lab), *size)
        assert filled.code == 0, filled.err
        good, _ = parted(stage)
        at = format_instant(reached(lambda now: now.microsecond < 500_000).replace(microsecond=0))
        stage.strike("bad-deploy", "--tenants", "2")
        ruined, others = parted(stage)
        assert ruined != good
        assert any(path.startswith(f"tenants/{OTHER}/") for path in others), "the other victim is not asked for"

        plan = killed_while_copying(stage, at)
        assert parted(stage) == (good, others)
        what_was_replaced_is_listed(stage, plan, ruined)
        stage.dr.fine("restore", "undo", plan, "--auto-approve")
        assert parted(stage) == (ruined, others)


def killed_while_copying(stage: Stage, at: str) -> str:
    """Its documents are written, its journal entry is not; the resume writes none of them twice."""
    file = stage.dr.work / "plan.json"
    plan = stage.dr.fine(*narrowed(stage, at, "plan"), "--out", str(file), "-o", "name").out.strip()
    names = r"restores/.*/\d+-.*\.copy-back\.json"
    killed = stage.dr.module("tests.lab.killed_restore", str(file), "kill-before", "0", names)
    assert killed.code == SIGKILLED, killed.err
    (item,) = stage.dr.fine("restore", "resume", plan, "-o", "json").items
    assert item["state"] == "done"
    names = [step["step"] for step in item["steps"]]
    assert names.index("undo-point") < names.index("salvage") < names.index("copy-back")
    return plan


def what_was_replaced_is_listed(stage: Stage, plan: str, ruined: dict[str, str]) -> None:
    """Each line with the hash of what the held undo point has of it."""
    lab = Lab.load(stage.lab)
    access = GoogleAccess(lab.key("operator"), storage_endpoint=lab.endpoints["storage"], ca_file=lab.ca)
    control = open_store(f"gs://{CONTROL_BUCKET}", access)
    (listed,) = control.list(f"restores/{plan}/salvage/")
    lines = [json.loads(line) for line in control.get(listed.name).splitlines()][1:]
    kept = {line["path"]: line["sha256"] for line in lines if line["why"] == "changed"}
    assert kept
    assert kept.items() <= ruined.items()
    (undo,) = [point for point in stage.dr.fine("points", "list", "-o", "json").items if "-undo-" in point["slot"]]
    assert undo["holds"], undo
