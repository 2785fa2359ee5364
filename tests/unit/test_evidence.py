"""A drill's evidence: gathered from what is stored, sealed, chained, and verified with a file and a public key alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dr.app.drillpage import page_of
from dr.app.evidence import SealedDrill, add_note, assign, seal_drill, sealed_drill, sign_off, whole_chain
from dr.app.mandate import mandate_of
from dr.app.verifying import VerifiedFile, verify_chain, verify_file, verify_files
from dr.errors import CONFIGURATION, NOT_FOUND, TARGET_EXISTS, UNREACHABLE, USAGE, DrError
from dr.model.dossier import Severity
from dr.model.evidence import People, Verdict
from dr.model.ids import SourceId
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check
from dr.model.sealed import Envelope
from dr.model.strategy import FailureDomain
from dr.ports import ObjectInfo, ObjectStore
from dr.record.chain import ChainLink, add_link
from dr.record.codec import sha256
from dr.report.sealed_file import sealed_json
from dr.run.dossier_points import LIVE, LOGGED, Around, sealed_point
from dr.vendors.dsse import verify
from dr.vendors.signingfile import FileSigner, make_signing_key
from tests.unit.evidence_world import ANN, BEN, Site, hold_drill, measured, site
from tests.unit.watched_world import CONFIG, NOW

FLIPS = 150


@pytest.fixture
def here(tmp_path: Path) -> Site:
    return site(tmp_path)


def sealed(here: Site, name: str = "quarterly-1", **more: Any) -> SealedDrill:
    hold_drill(here, name, **more)
    return seal_drill(here.app, name)


def again(here: Site, name: str = "quarterly-1") -> SealedDrill:
    found = sealed_drill(here.app, name)
    assert found is not None
    return found


def verified(here: Site, content: str | bytes, key: str = "") -> VerifiedFile:
    data = content.encode() if isinstance(content, str) else content
    return verify_file("report", data, key or here.public_key)


def faults(found: VerifiedFile) -> dict[str, str]:
    return {check.name: check.detail for check in found.checks if not check.passed}


# --- what is gathered -----------------------------------------------------------------------------------------------


def test_every_hash_is_of_what_lies_in_the_stores(here: Site) -> None:
    found = sealed(here).dossier
    control, vault = here.app.control, here.app.vault("appdata")
    assert found.identity.plan_sha256 == sha256(control.get("drills/quarterly-1/plan.json"))
    assert found.order.sha256 == sha256(control.get("drills/quarterly-1/order.json"))
    for step in found.steps:
        assert step.log_sha256 == sha256(control.get(step.log))
    assert [step.exit for step in found.steps] == ["done"] * 3 + ["committed: 1 restored"]
    (point,) = found.points
    info = vault.stat(point.name)
    assert point.sha256 == sha256(vault.get(point.name))
    assert info is not None
    assert point.locked_until == info.retain_until


def test_a_row_without_a_manifest_says_where_its_copy_came_from(here: Site) -> None:
    item = PlannedRestore(CONFIG, FailureDomain.LOGICAL, "config-log", None, NOW, Target(True), 9, None, 0.0, (), ())
    around = Around(here.app.control, here.app.vault, here.app.strategy, {})
    assert sealed_point(around, item).note == LOGGED
    assert sealed_point(around, replace(item, method="firestore-pitr")).note == LIVE
    lost = replace(item, source=SourceId("audit", "pubsub", "sink"), method="audit-log")
    assert "could not be read again" in sealed_point(around, lost).note


def test_it_says_who_by_what_authority_and_where(here: Site) -> None:
    found = sealed(here).dossier
    assert (found.people.executor, found.people.approver, found.people.ticket) == (ANN, BEN, "CHG-1207")
    assert [(one.component, one.rto_s, one.approved_by) for one in found.objectives] == [
        ("appdata", 3600, "Jane Doe, CTO, 2025-01-15")
    ]
    (target,) = found.targets
    assert (target.isolated, target.names) == (True, {"database": "drill-3f2a-db"})
    assert target.vault_place == "energent-backup, us-east1"
    assert found.covered == ("appdata/source (appdata/firestore/energent-metadata-production)",)
    assert [(one.component, one.reason) for one in found.exclusions] == [("config", "outside the scenario quarterly")]
    assert [(one.kind, one.text, one.seconds) for one in found.interventions] == [
        ("declared", "cluster creation", 1500)
    ]


def test_the_critical_path_tells_working_from_waiting(here: Site) -> None:
    found = sealed(here).dossier.critical
    assert [(one.step, round(one.waited_s, 3)) for one in found] == [
        ("verify-point", 0.2),
        ("import", 0.5),
        ("check", 0),
    ]
    assert found[-1].end_s == 7.25


def test_the_trend_holds_earlier_drills_of_the_row(here: Site) -> None:
    for number, seconds in enumerate((9.0, 8.0), 1):
        hold_drill(here, f"quarterly-{number}", [measured(seconds)])
    hold_drill(here, "quarterly-3")
    found = seal_drill(here.app, "quarterly-3").dossier
    assert [(one.drill, one.recovery_s) for one in found.trend] == [("quarterly-1", 9.0), ("quarterly-2", 8.0)]


def test_what_fell_short_is_a_finding_worst_first(here: Site) -> None:
    rows = [
        measured(4000, Verdict.MISSED, findings=("recovered in 4000 s, not in 3600 s",)),
        measured(7, Verdict.FAILED, findings=("output-0: sha256 differs",)),
    ]
    found = sealed(here, rows=rows, teardown=[Check("database db-2", False, "still there")]).dossier.findings
    assert [(one.id, one.severity, one.where) for one in found] == [
        ("F1", Severity.CRITICAL, "appdata/source"),
        ("F2", Severity.CRITICAL, "teardown"),
        ("F3", Severity.MAJOR, "appdata/source"),
    ]


def test_what_nobody_knows_is_said_and_not_made_up(tmp_path: Path) -> None:
    here = site(tmp_path, signed=False)
    found = sealed(here, people=People(executor=ANN), tabled=False)
    text = " | ".join(found.dossier.unknown)
    for words in (
        "approver: not given",
        "ticket: not given",
        "it is unsigned",
        "strategy table: when it was stored is not known",
    ):
        assert words in text
    assert found.dossier.identity.runbook == ""


def test_targets_that_were_stored_after_the_work_began_are_told(here: Site) -> None:
    hold_drill(here, "quarterly-1")
    control = here.app.control
    name = "drills/quarterly-1/order.json"
    order, info = control.get(name), control.stat(name)
    assert info is not None
    control.delete(name, generation=info.generation)
    control.put(name, order)
    found = seal_drill(here.app, "quarterly-1")
    assert "the order: it was stored later than what it should have come before" in found.dossier.unknown
    assert "targets before the restore" in faults(verified(here, sealed_json(found.seal)))


def test_a_drill_without_an_order_cannot_be_sealed(here: Site) -> None:
    report = hold_drill(here, "quarterly-1")
    control = here.app.control
    info = control.stat("drills/quarterly-1/order.json")
    assert info is not None
    control.delete(info.name, generation=info.generation)
    with pytest.raises(DrError, match="has no order") as caught:
        seal_drill(here.app, report.id)
    assert caught.value.kind is NOT_FOUND


# --- verified -------------------------------------------------------------------------------------------------------


def test_both_files_verify_with_nothing_but_the_public_key(here: Site) -> None:
    found = sealed(here)
    for content in (sealed_json(found.seal), page_of(found)):
        assert faults(verified(here, content)) == {}


def test_sealing_twice_changes_nothing(here: Site) -> None:
    assert sealed(here).envelope == seal_drill(here.app, "quarterly-1").envelope


@pytest.mark.parametrize("seed", range(3))
def test_any_changed_byte_of_the_json_is_named(here: Site, seed: int) -> None:
    found = sealed(here)
    sign_off(here.app, "quarterly-1", BEN, "")
    good = sealed_json(again(here).seal).encode()
    chance = random.Random(seed)
    for _ in range(FLIPS // 3):
        bad = flipped(good, chance)
        result = verified(here, bad)
        assert not result.passed, (bad, found)
        assert all(faults(result).values())


def test_any_changed_byte_of_the_page_is_named(here: Site) -> None:
    sealed(here)
    good = page_of(again(here)).encode()
    chance = random.Random(7)
    for _ in range(12):
        result = verified(here, flipped(good, chance))
        assert not result.passed
        assert all(faults(result).values())


def flipped(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << chance.randrange(7))]) + content[place + 1 :]


def edited(content: str, change: Callable[[dict[str, Any]], None]) -> str:
    body = json.loads(content)
    change(body)
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def test_a_changed_figure_is_named_with_both_values(here: Site) -> None:
    good = sealed_json(sealed(here).seal)

    def shorter(body: dict[str, Any]) -> None:
        body["items"][0]["rto"]["steps"][1]["end_s"] = 2.0

    text = faults(verified(here, edited(good, shorter)))["contents"]
    assert text == "items[0] (appdata/source).rto.steps[1] (import).end_s: sealed 7.0, the file says 2.0"


def test_what_is_added_or_taken_out_is_named(here: Site) -> None:
    good = sealed_json(sealed(here).seal)

    def change(body: dict[str, Any]) -> None:
        del body["evidence"]["people"]["approver"]
        body["drill"]["remark"] = "all fine"
        body["evidence"]["steps"].pop()

    text = faults(verified(here, edited(good, change)))["contents"]
    assert 'evidence.people.approver: sealed "Ben Ode", missing in the file' in text
    assert "drill.remark: was not sealed" in text
    assert "evidence.steps[3] (end of the work): sealed, missing in the file" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    "passed": true', '    "passed": false,\n    "passed": true'),
        ('"kind": "DrillReport"', '"kind":  "DrillReport"'),
        ('"kind": "DrillReport"', '"kind": "Drill\\u0052eport"'),
        ("\n}\n", "\n}\n\n"),
    ],
    ids=["a key twice", "a blank", "an escape", "a line"],
)
def test_what_means_the_same_and_is_written_otherwise_is_named_too(here: Site, old: str, new: str) -> None:
    good = sealed_json(sealed(here).seal)
    assert old in good
    found = faults(verified(here, good.replace(old, new, 1)))
    assert set(found) == {"bytes"}
    assert found["bytes"]


def test_a_changed_page_is_named_by_its_heading(here: Site) -> None:
    good = page_of(sealed(here))
    text = faults(verified(here, good.replace(">Ben Ode<", ">Bob Ode<", 1)))["bytes"]
    assert "(Who, and by what authority)" in text
    assert "Bob Ode" in text


def test_who_changes_the_record_inside_too_breaks_the_signature(here: Site) -> None:
    found = sealed(here)
    payload = found.envelope.payload.replace(b'"measured_s":7.25', b'"measured_s":1.25')
    assert payload != found.envelope.payload
    forged = replace(found, envelope=replace(found.envelope, payload=payload))
    for content in (sealed_json(forged.seal), page_of(replace(again(here), envelope=forged.envelope))):
        assert "the signature does not fit" in faults(verified(here, content))["signature"]


def test_another_key_is_refused(here: Site, tmp_path: Path) -> None:
    found = sealed(here)
    other = make_signing_key(tmp_path / "other.pem").read_text()
    assert "not by the key given" in faults(verified(here, sealed_json(found.seal), other))["signature"]
    with pytest.raises(DrError, match="no public key") as caught:
        verified(here, sealed_json(found.seal), "hello")
    assert caught.value.kind is CONFIGURATION


def test_a_drill_without_a_key_is_unsigned_and_says_so(tmp_path: Path) -> None:
    here = site(tmp_path, signed=False)
    found = sealed(here)
    key = make_signing_key(tmp_path / "other.pem").read_text()
    assert "unsigned" in faults(verified(here, sealed_json(found.seal), key))["signature"]
    assert "unsigned" in page_of(found)


def test_a_file_without_a_seal_is_no_evidence(here: Site) -> None:
    for content in ("{}", "<html></html>", "not JSON", b"\xff"):
        assert not verified(here, content).passed


# --- the chain ------------------------------------------------------------------------------------------------------


def files(here: Site, *names: str) -> list[Path]:
    for name in names:
        (here.folder / f"{name}.json").write_text(sealed_json(again(here, name).seal))
    return [here.folder / f"{name}.json" for name in names]


def test_each_drill_names_the_one_before(here: Site) -> None:
    first, second = sealed(here, "q-1"), sealed(here, "q-2")
    assert second.dossier.previous is not None
    assert second.dossier.previous.sha256 == first.envelope.sha256
    assert all(one.passed for one in verify_files(files(here, "q-1", "q-2"), here.public_key))
    assert all(one.passed for one in verify_chain(whole_chain(here.app), here.public_key))


def test_a_drill_that_was_put_in_the_place_of_another_breaks_the_chain(here: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = site(tmp_path / "elsewhere")
    for name in ("q-1", "q-2"):
        sealed(here, name)
    sealed(other, "q-0")
    found = verify_files([*files(other, "q-0"), *files(here, "q-2")], here.public_key)
    assert "the one at hand has" in faults(found[1])["chain"]


def test_a_link_that_was_taken_out_of_the_repository_is_missed(here: Site) -> None:
    for name in ("q-1", "q-2", "q-3"):
        sealed(here, name)
    links = [link for link in whole_chain(here.app) if link[0] != 2]
    found = verify_chain(links, here.public_key)
    assert found[0].passed
    assert "missing or moved" in faults(found[1])["number"]


class Busy:
    """A control repository in which another drill takes the next number just before ours does."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner, self._done = inner, False

    def put(self, name: str, data: bytes, **more: Any) -> ObjectInfo:
        if name.startswith("evidence/") and not self._done:
            self._done = True
            add_link(self._inner, ChainLink(1, "other", Envelope(b"{}", "x")))
        return self._inner.put(name, data, **more)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_of_two_that_are_sealed_at_once_one_stands_behind_the_other(here: Site) -> None:
    hold_drill(here, "q-1")
    here.app.__dict__["control"] = Busy(here.app.control)
    found = seal_drill(here.app, "q-1").dossier
    assert found.number == 2
    assert found.previous is not None
    assert found.previous.drill == "other"


def test_a_sealed_drill_is_locked(here: Site) -> None:
    found = sealed(here)
    for name in ("evidence/000001.json", "drills/quarterly-1/order.json", "drills/quarterly-1/plan.json"):
        info = here.app.control.stat(name)
        assert info is not None
        assert info.retain_until == found.dossier.keep_until
    assert found.dossier.order.locked_until == found.dossier.keep_until


class Dying:
    """A control repository that is gone when the sealed record is to be locked."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def retain(self, name: str, **more: Any) -> None:
        if name.startswith("evidence/"):
            raise DrError(UNREACHABLE, "gone")
        self._inner.retain(name, **more)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_what_died_before_the_lock_is_locked_by_the_next(here: Site) -> None:
    hold_drill(here, "quarterly-1")
    control = here.app.control
    here.app.__dict__["control"] = Dying(control)
    with pytest.raises(DrError, match="gone"):
        seal_drill(here.app, "quarterly-1")
    here.app.__dict__["control"] = control
    found = seal_drill(here.app, "quarterly-1")
    info = control.stat("evidence/000001.json")
    assert info is not None
    assert info.retain_until == found.dossier.keep_until


# --- what is appended -----------------------------------------------------------------------------------------------


def test_the_executor_neither_approves_nor_signs_off(here: Site) -> None:
    sealed(here)
    for name in (ANN, "  ann   LEE ", ""):
        with pytest.raises(DrError) as caught:
            sign_off(here.app, "quarterly-1", name, "")
        assert caught.value.kind is USAGE
    with pytest.raises(DrError, match="cannot approve") as caught:
        mandate_of(here.app, People(executor="ann", approver="Ann@laptop"), "")
    assert caught.value.kind is USAGE
    assert mandate_of(here.app, People(executor=ANN, approver=BEN), "").people.approver == BEN


def test_a_runbook_is_kept_by_its_hash(here: Site) -> None:
    found = mandate_of(here.app, People(), "appdata-source")
    assert len(found.runbook_sha256) == 64
    assert found.people.executor
    with pytest.raises(DrError):
        mandate_of(here.app, People(), "no-such-page")


def test_a_sign_off_is_signed_and_on_the_page(here: Site) -> None:
    sealed(here)
    sign_off(here.app, "quarterly-1", BEN, "fine by me")
    found = again(here)
    verify(found.addenda[0].envelope, here.public_key)
    page = page_of(found)
    assert "Ben Ode, 2025" in page
    assert "fine by me" in page
    assert faults(verified(here, page)) == {}


def test_a_finding_gets_an_owner_a_day_and_a_retest(here: Site) -> None:
    sealed(here, rows=[measured(7, Verdict.FAILED, findings=("output-0: sha256 differs",))])
    sealed(here, "quarterly-2")
    assign(here.app, "quarterly-1", BEN, "F1", "Dee", "2025-07-01", "")
    assign(here.app, "quarterly-1", BEN, "F1", "Dee", "2025-08-01", "quarterly-2")
    page = page_of(again(here))
    assert "2025-08-01" in page
    assert "quarterly-2" in page
    with pytest.raises(DrError, match="no finding 'F9'"):
        assign(here.app, "quarterly-1", BEN, "F9", "Dee", "", "")
    with pytest.raises(DrError):
        assign(here.app, "quarterly-1", BEN, "F1", "", "", "no-such-drill")


def test_a_note_of_a_running_drill_is_sealed_with_it(here: Site) -> None:
    hold_drill(here, "quarterly-1")
    add_note(here.app, "quarterly-1", ANN, "restarted the proxy by hand")
    found = seal_drill(here.app, "quarterly-1")
    add_note(here.app, "quarterly-1", BEN, "looked at it again")
    assert [one.text for one in found.dossier.interventions if one.kind == "note"] == ["restarted the proxy by hand"]
    assert faults(verified(here, sealed_json(again(here).seal))) == {}


def test_an_addendum_that_was_taken_out_is_missed(here: Site) -> None:
    hold_drill(here, "quarterly-1")
    add_note(here.app, "quarterly-1", ANN, "one")
    seal_drill(here.app, "quarterly-1")
    for text in ("two", "three"):
        add_note(here.app, "quarterly-1", ANN, text)
    found = again(here)
    without_second = replace(found, addenda=(found.addenda[0], found.addenda[2]))
    assert "does not follow" in str(faults(verified(here, sealed_json(without_second.seal))))
    without_any = replace(found, addenda=())
    assert "1 that the record names are missing" in faults(verified(here, sealed_json(without_any.seal)))["addenda"]


def test_an_addendum_of_another_drill_is_no_part_of_this_one(here: Site) -> None:
    sealed(here, "q-1")
    sealed(here, "q-2")
    sign_off(here.app, "q-2", BEN, "")
    moved = replace(again(here, "q-1"), addenda=again(here, "q-2").addenda)
    assert "it belongs to q-2" in str(faults(verified(here, sealed_json(moved.seal))))


def test_nothing_is_appended_to_what_is_not_there(here: Site) -> None:
    hold_drill(here, "q-1")
    with pytest.raises(DrError, match="is not sealed"):
        sign_off(here.app, "q-1", BEN, "")
    with pytest.raises(DrError, match="no drill 'q-9'"):
        add_note(here.app, "q-9", BEN, "x")


# --- key files ------------------------------------------------------------------------------------------------------


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_signing_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(DrError, match="others may read") as caught:
        FileSigner(tmp_path / "key.pem").public_key()
    assert caught.value.kind is CONFIGURATION
    with pytest.raises(DrError) as caught:
        make_signing_key(tmp_path / "key.pem")
    assert caught.value.kind is TARGET_EXISTS


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("hello")
    (tmp_path / "key.pem").chmod(0o600)
    with pytest.raises(DrError, match="holds no private key"):
        FileSigner(tmp_path / "key.pem").sign(b"x")
