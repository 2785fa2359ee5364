"""Evidence through the command line: sealed by Cloud KMS, verified with a file and a public key alone, appended to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.state import VAULT_REGION, Lab
from tests.lab.command import ROOT, Answer
from tests.lab.staged import Stage, staged

pytestmark = pytest.mark.lab
PEOPLE = ("--executor", "Ann Lee", "--approver", "Ben Ode", "--witnessed-by", "Cy Wu", "--ticket", "CHG-1207")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("evidence"), snapshot_granularity="1") as made:
        made.dr.fine("backup", "appdata")
        yield made


@pytest.fixture(scope="module")
def drill(stage: Stage) -> str:
    """One that was held with all flags; the files of its report lie in the work folder."""
    stage.dr.fine(
        "drill", "run", "appdata", *PEOPLE, "--runbook", "appdata-source", "--declare", "new project=10m", "-o", "name"
    )
    name = stage.dr.fine("drill", "report", "-o", "name").out.strip()
    for form, file in (("json", "report.json"), ("html", "report.html")):
        (stage.dr.work / file).write_text(stage.dr.fine("drill", "report", name, "-o", form).out)
    (stage.dr.work / "evidence.pub").write_text(stage.dr.fine("drill", "key").out)
    return name


def offline(folder: Path, *files: str) -> Answer:
    """`dr drill verify` on a machine that has the files, the public key, and nothing else."""
    argv = [sys.executable, "-m", "dr", "drill", "verify", *files, "--key", "evidence.pub", "-o", "json"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def test_both_files_verify_where_there_is_nothing_but_the_public_key(stage: Stage, drill: str) -> None:
    answer = offline(stage.dr.work, "report.json", "report.html")
    assert answer.code == 0, answer.out + answer.err
    assert [(item["drill"], item["passed"]) for item in answer.items] == [(drill, True)] * 2


def test_the_record_says_what_an_auditor_asks(stage: Stage, drill: str) -> None:
    found = json.loads((stage.dr.work / "report.json").read_text())["evidence"]
    assert found["people"] == {"executor": "Ann Lee", "approver": "Ben Ode", "witness": "Cy Wu", "ticket": "CHG-1207"}
    assert found["signer"].startswith("gcp-kms://projects/")
    assert found["identity"]["runbook"] == "appdata-source"
    assert all(len(found["identity"][f"{name}_sha256"]) == 64 for name in ("plan", "scenario", "runbook", "strategy"))
    assert found["order"]["stored"] <= found["order"]["before"]
    assert found["table"]["stored"] < found["table"]["before"], "the backup kept the table before the drill's disaster"
    stored = [point for point in found["points"] if point["sha256"]]
    assert stored
    assert all(point["locked_until"] and point["artefacts"] for point in stored)
    assert all(target["isolated"] and target["source_place"] for target in found["targets"])
    assert {step["exit"].partition(":")[0] for step in found["steps"]} == {"done", "committed"}
    assert [one["text"] for one in found["interventions"]] == ["new project"]
    assert any("approved" in text for text in found["unknown"]), "the lab's table does not say who approved it"


def test_a_changed_byte_is_named_and_ends_with_7(stage: Stage, drill: str) -> None:
    good = (stage.dr.work / "report.json").read_text()
    (stage.dr.work / "bent.json").write_text(good.replace('"verdict": "met"', '"verdict": "mat"', 1))
    answer = offline(stage.dr.work, "bent.json")
    assert answer.code == 7
    failed = {check["name"]: check["detail"] for check in answer.items[0]["checks"] if not check["passed"]}
    assert '.verdict: sealed "met", the file says "mat"' in failed["contents"]


def test_who_ran_it_neither_approves_nor_signs_off(stage: Stage, drill: str) -> None:
    stage.dr("drill", "run", "appdata", "--executor", "ann", "--approver", "Ann").refused(2, "cannot approve")
    stage.dr("drill", "sign-off", drill, "--as", "ann lee").refused(2, "somebody else")
    stage.dr.fine("drill", "sign-off", drill, "--as", "Ben Ode", "--comment", "as it should be")
    page = stage.dr.fine("drill", "report", drill, "-o", "html").out
    assert "as it should be" in page
    (stage.dr.work / "signed-off.html").write_text(page)
    assert offline(stage.dr.work, "signed-off.html").code == 0


def turn(stage: Stage, way: str) -> None:
    control = Lab.load(stage.lab).endpoints["kms_control"]
    request = urllib.request.Request(f"{control}/regions/{VAULT_REGION}/{way}", method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def test_a_drill_that_cannot_be_sealed_is_kept_and_sealed_later(stage: Stage, drill: str) -> None:
    turn(stage, "down")
    try:
        answer = stage.dr.fine("drill", "run", "appdata", "-o", "name")
    finally:
        turn(stage, "up")
    name = answer.out.strip()
    assert "not sealed" in answer.err
    assert f"dr drill seal {name}" in answer.err
    assert "unsigned" in stage.dr.fine("drill", "report", name, "-o", "html").out
    stage.dr.fine("drill", "seal", name)
    whole = stage.dr.fine("drill", "verify", "-o", "json")
    assert [(item["drill"], item["passed"]) for item in whole.items] == [(drill, True), (name, True)]


def test_other_identities_cannot_sign(stage: Stage, drill: str) -> None:
    key = str(Lab.load(stage.lab).key("capture"))
    stage.dr.with_(DR_CREDENTIALS_RESTORE=key)("drill", "key").refused(4, "viewPublicKey")
