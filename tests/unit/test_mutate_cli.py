"""`dr drill mutate` from end to end over a `file://` vault: the audit row needs nothing else to be restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dr.changelog import LogReader
from dr.components.audit.entry import fingerprint
from dr.model.timeline import format_instant
from dr.plan import judge
from dr.stores.local import LocalStore
from tests.unit.pubsub_fake import SOURCE
from tests.unit.test_audit_cli import Call, dr, filled

__all__ = ["dr"]
MUTATE = ("drill", "mutate", "--component", "audit", "--witness", "witness.jsonl", "--seed", "7")


@pytest.fixture
def vault(dr: Call, tmp_path: Path) -> LocalStore:
    """With entries, and a record of who wrote them."""
    made = filled(tmp_path)
    lines = [
        {"acked_at": format_instant(entry.at), "source": str(SOURCE), "path": entry.key, "seq": number, "sha256": sha}
        for number, entry in enumerate(LogReader(made, SOURCE).entries())
        if (sha := fingerprint(entry.data["entry"]) if "entry" in entry.data else "")  # type: ignore[arg-type]
    ]
    (tmp_path / "witness.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def told(out: str) -> dict[str, Any]:
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def contents(store: LocalStore) -> dict[str, bytes]:
    return {info.name: store.get(info.name) for info in store.list()}


def test_every_fault_in_an_audit_log_is_caught_and_a_clean_drill_gives_no_alarm(
    dr: Call, vault: LocalStore, tmp_path: Path
) -> None:
    before = contents(vault)
    code, out, err = dr(*MUTATE, "--clean", "3", "-o", "json")
    found = told(out)
    assert (code, found["missed"], found["false_alarms"]) == (0, [], []), err
    assert (found["clean"], found["complete"]) == (3, True)
    assert found["caught"] == found["planted"] >= 15
    assert contents(vault) == before
    kept = LocalStore(tmp_path / "control")
    assert not list(kept.list("drills/"))  # the drills of a campaign are no drills of the strategy
    assert not list((tmp_path / "cache" / "restored").rglob("*.zst"))


def test_what_the_judge_lets_through_is_a_miss_with_exit_code_7(
    dr: Call, vault: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_failures", lambda *_: ())
    code, out, _ = dr(*MUTATE, "--fault", "audit.who-changed", "--clean", "0")
    assert code == 7
    assert "MISSED: audit.who-changed" in out


def test_a_campaign_goes_on_where_it_stopped(dr: Call, vault: LocalStore, tmp_path: Path) -> None:
    code, out, _ = dr(*MUTATE, "--faults", "4", "--clean", "0", "-o", "json")
    first = told(out)
    assert (code, len(first["items"]), first["complete"]) == (0, 4, True)
    trials = tmp_path / "control" / "mutations" / first["campaign"] / "trials"
    gone = sorted(trials.iterdir())[1]
    was = {path.name: path.read_bytes() for path in trials.iterdir()}
    gone.unlink()
    code, out, err = dr("drill", "mutate", "--resume", first["campaign"], "--witness", "witness.jsonl", "-o", "json")
    again = told(out)
    assert (code, again["complete"], again["campaign"]) == (0, True, first["campaign"])
    assert sum(line.count(": audit.") for line in err.splitlines()) == 1
    assert {path.name for path in trials.iterdir()} == set(was)
    assert all(path.read_bytes() == was[path.name] for path in trials.iterdir() if path.name != gone.name)


def test_what_cannot_be_planted_is_said_and_no_catch(dr: Call, vault: LocalStore) -> None:
    code, out, _ = dr(*MUTATE, "--fault", "audit.pack-changed", "--clean", "1", "-o", "json")
    (trial,) = [item for item in told(out)["items"] if item["name"] == "audit.pack-changed"]
    assert (trial["result"], trial["said"]) == ("not planted", ["the log has no pack yet"])
    assert (code, told(out)["planted"]) == (0, 0)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--fault", "audit.nonsense"), 2, "there is no fault 'audit.nonsense'"),
        (("--resume", "20250101T000000Z-dead"), 1, "there is no campaign"),
    ],
)
def test_what_cannot_be_begun_is_one_sentence(
    dr: Call, vault: LocalStore, flags: tuple[str, ...], code: int, words: str
) -> None:
    found, _, err = dr(*MUTATE, *flags)
    assert found == code
    assert words in err


def test_a_row_without_points_is_no_campaign(dr: Call) -> None:
    code, _, err = dr("drill", "mutate", "--component", "audit")
    assert code == 1
    assert "there is nothing to plant a fault in" in err


def test_a_fault_that_is_no_longer_known_ends_a_campaign_all_the_same(
    dr: Call, vault: LocalStore, tmp_path: Path
) -> None:
    first = told(dr(*MUTATE, "--fault", "audit.who-changed", "--clean", "0", "-o", "json")[1])
    place = LocalStore(tmp_path / "control")
    begun = f"mutations/{first['campaign']}/campaign.json"
    body = json.loads(place.get(begun))
    older = {**body, "id": "20240101T000000Z-0000", "faults": ["audit.of-an-older-dr", "audit.who-changed"]}
    place.put(f"mutations/{older['id']}/campaign.json", json.dumps(older).encode())
    code, out, _ = dr(*MUTATE, "--resume", older["id"], "-o", "json")
    results = {item["name"]: item["result"] for item in told(out)["items"]}
    assert (code, told(out)["complete"]) == (0, True)
    assert results == {"audit.of-an-older-dr": "not planted", "audit.who-changed": "caught"}


def test_the_tables_name_each_miss_and_each_trial(dr: Call, vault: LocalStore) -> None:
    code, out, _ = dr(*MUTATE, "--faults", "3", "--clean", "1", "-o", "wide")
    assert code == 0
    assert all(words in out for words in ("caught", "no alarm", "clean-audit-001", "faults caught (100%)"))
    code, out, _ = dr(*MUTATE, "--faults", "2", "-o", "name")
    assert len(out.split()) == 3
