"""Retention on Cloud Storage under the shipped permissions: who can delete what, and the command line of holds and prunes.

No identity can delete a locked or held point: the application and capture and restore because they may not delete at all,
prune because the store refuses.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dr.app.core import open_app
from dr.app.service import service_parts
from dr.cli.main import run
from dr.errors import NOT_AUTHORISED, RETENTION_REFUSED, DrError, ErrorKind
from dr.model.points import PointManifest
from dr.plan.permissions import Where, permissions
from dr.ports import ObjectStore
from dr.record.codec import encode
from dr.record.layout import ensure_format, staging
from dr.record.summary import metadata_of
from dr.stores.opening import open_store
from tests.contract.object_store import refused
from tests.contract.storage_server import Lab, Server, stop
from tests.contract.test_object_store import access_as, create_bucket
from tests.unit.fakes import artefact, manifest

IDENTITIES = ("capture", "restore", "prune")
STRATEGY = """\
apiVersion: dr/v1
kind: Strategy
name: retained
objectives:
  - component: appdata
    frequency: real-time
    retention: 30d
    rto: 1h
    rpo: 15m
    retain: {yearly: 1}
    sources:
      - {kind: firestore, name: energent-metadata-production, options: {database: energent-metadata-production}}
"""
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def items(self) -> list[dict[str, object]]:
        found = json.loads(self.out)["items"]
        assert isinstance(found, list)
        return found


@dataclass
class Site:
    """A bucket pair with the shipped grants, and `dr` over it."""

    server: Server
    home: Path
    tag: str

    @property
    def vault(self) -> str:
        return f"vault-{self.tag}"

    @property
    def control(self) -> str:
        return f"control-{self.tag}"

    def store(self, identity: str) -> ObjectStore:
        return open_store(f"gs://{self.vault}", access_as(self.server, identity))

    def point(self, age: timedelta, *, lock: timedelta | None = None) -> PointManifest:
        """A committed point of that age, locked for `lock` from now on."""
        base = manifest(as_of=NOW - age)
        name = f"{staging(base.slot, 1)}part"
        vault = self.store("capture")
        stored = vault.put(name, name.encode())
        part = artefact(name, stored.size)
        until = NOW + (lock or -DAY)
        point = manifest(
            as_of=NOW - age,
            artefacts=(type(part)(name, part.role, stored.size, stored.crc32c, part.sha256, stored.generation, 1),),
            retain_until=until,
        )
        info = vault.put(point.name, encode(point), metadata=metadata_of(point))
        for one in (stored, info) if lock else ():
            vault.retain(one.name, generation=one.generation, until=until)
        return point

    def dr(self, *args: str) -> Answer:
        """The command line in this process: what a start costs is not what is tested here."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run(["--config", str(self.home / "dr.yaml"), *args])
        assert "internal error" not in err.getvalue(), err.getvalue()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, out.getvalue(), err.getvalue())

    def fates(self, *args: str) -> dict[str, str]:
        answer = self.dr("points", "prune", "-o", "json", *args)
        assert answer.code == 0, answer
        return {str(item["name"]): str(item["fate"]) for item in answer.items}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("retention")
    lab = Lab.start(directory / "lab")
    server = Server(lab, directory / "objects").start()
    try:
        yield server
    finally:
        server.stop()
        stop(lab.tokens)


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Site:
    site = Site(server, tmp_path, uuid.uuid4().hex[:8])
    iam = server.lab.iam
    for bucket, where in ((site.vault, Where.VAULT), (site.control, Where.CONTROL)):
        create_bucket(access_as(server, "operator"), bucket)
        for identity in IDENTITIES:
            iam.grant(identity, permissions(identity, where), f"buckets/{bucket}")
    iam.grant("app", ["storage.*"], "buckets/the-application-s-own")
    ensure_format(site.store("capture"), "vault")
    ensure_format(open_store(f"gs://{site.control}", access_as(server, "capture")), "control")
    (tmp_path / "strategy.yaml").write_text(STRATEGY)
    keys = "".join(f"  {name}: {iam.key_file(name)}\n" for name in IDENTITIES)
    (tmp_path / "dr.yaml").write_text(
        f"""\
apiVersion: dr/v1
kind: Settings
scope: lab
control: gs://{site.control}
strategy: strategy.yaml
caFile: {server.lab.ca.certificate}
cacheDir: {tmp_path}/cache
endpoints: {{storage: "{server.url}"}}
credentials:
{keys}vaults:
  appdata: {{url: "gs://{site.vault}"}}
"""
    )
    return site


@pytest.mark.parametrize(
    ("identity", "locked", "free"),
    [
        ("app", NOT_AUTHORISED, NOT_AUTHORISED),
        ("capture", NOT_AUTHORISED, NOT_AUTHORISED),
        ("restore", NOT_AUTHORISED, NOT_AUTHORISED),
        ("prune", RETENTION_REFUSED, None),
    ],
)
def test_nobody_deletes_a_locked_point(site: Site, identity: str, locked: ErrorKind, free: ErrorKind | None) -> None:
    kept, old = site.point(DAY, lock=30 * DAY), site.point(60 * DAY)
    store, looking = site.store(identity), site.store("capture")
    for point, kind in ((kept, locked), (old, free)):
        for name in (point.name, point.artefacts[0].name):
            info = looking.stat(name)
            assert info is not None
            if kind is None:
                store.delete(name, generation=info.generation)
                assert looking.stat(name) is None
            else:
                assert refused_like(kind, store, name, info.generation), name
                assert looking.stat(name) == info
    info = looking.stat(kept.name)
    assert info is not None
    for weaken in (
        lambda: store.put(kept.name, b"other", if_generation=info.generation),
        lambda: store.retain(kept.name, generation=info.generation, until=NOW + DAY),
    ):
        with pytest.raises(DrError):
            weaken()
    assert looking.stat(kept.name) == info


def refused_like(kind: ErrorKind, store: ObjectStore, name: str, generation: int) -> bool:
    return refused(kind, lambda: store.delete(name, generation=generation)) is not None


def test_what_a_person_holds_nobody_deletes_until_it_is_released(site: Site) -> None:
    old, reach = site.point(60 * DAY), site.point(31 * DAY)
    site.point(DAY)
    held = site.dr("points", "hold", old.slot.id, "--reason", "lawsuit 7", "-o", "json")
    assert held.code == 0, held
    assert held.items[0]["reason"] == "lawsuit 7"
    assert "as capture@" in str(held.items[0]["by"])
    names = [old.name, old.artefacts[0].name]
    for name in names:
        info = site.store("prune").stat(name)
        assert info is not None
        assert info.held
        assert refused_like(RETENTION_REFUSED, site.store("prune"), name, info.generation)
    shown = next(item for item in site.dr("points", "list", "-o", "json").items if item["name"] == old.name)
    assert [hold["reason"] for hold in shown["holds"]] == ["lawsuit 7"]  # type: ignore[attr-defined]
    assert "held by" in site.dr("points", "list").out
    assert site.fates("--allow-share", "100%")[old.name] == "kept"
    assert site.dr("points", "release", old.slot.id, "--reason", "settled").code == 0
    again = site.dr("points", "release", old.slot.id, "--reason", "settled")
    assert (again.code, "is not held" in again.err) == (1, True)
    assert site.fates("--allow-share", "100%", "--grace", "0")[old.name] == "condemned"
    listed = {item["name"]: item for item in site.dr("points", "list", "-o", "json").items}
    assert listed[old.name]["deleted_after"]
    assert not listed[reach.name]["deleted_after"]
    assert site.fates("--allow-share", "100%")[old.name] == "deleted"
    assert [site.store("prune").stat(name) for name in names] == [None, None]


def test_a_hold_with_an_end_is_a_longer_lock(site: Site) -> None:
    old = site.point(60 * DAY)
    site.point(31 * DAY)
    until = NOW + 90 * DAY
    held = site.dr("points", "hold", old.name, "--reason", "audit", "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}")
    assert held.code == 0, held
    for name in (old.name, old.artefacts[0].name):
        info = site.store("prune").stat(name)
        assert info is not None
        assert info.retain_until == until
        assert refused_like(RETENTION_REFUSED, site.store("prune"), name, info.generation)
    assert site.dr("points", "release", old.name, "--reason", "over").code == 0
    reasons = next(i for i in site.dr("points", "prune", "--dry-run", "-o", "json").items if i["name"] == old.name)
    assert f"the store locks it until {until:%Y-%m-%dT%H:%M:%SZ}" in str(reasons["reasons"])
    past = site.dr("points", "hold", old.name, "--reason", "audit", "--until", "2020-01-01T00:00:00Z")
    assert (past.code, "is past" in past.err) == (2, True)


def test_prune_from_the_command_line(site: Site) -> None:
    old = [site.point(age * DAY) for age in (61, 62, 63)]
    site.point(40 * DAY)
    new = site.point(DAY, lock=29 * DAY)
    dry = site.dr("points", "prune", "--dry-run")
    assert dry.code == 0
    assert "would be refused" in dry.out
    too_much = site.dr("points", "prune")
    assert (too_much.code, "--allow-share 60%" in too_much.err) == (1, True)
    condemned = site.fates("--allow-share", "60%")
    assert [condemned[point.name] for point in old] == ["condemned"] * 3
    assert condemned[new.name] == "kept"
    assert site.fates("--allow-share", "60%")[old[0].name] == "condemned"
    bad = site.dr("points", "prune", "--allow-share", "lots")
    assert (bad.code, "not a share" in bad.err) == (2, True)
    unknown = site.dr("points", "prune", "--component", "nothing")
    assert unknown.code == 2


def turns_of(site: Site) -> dict[str, Any]:
    found = json.loads(site.dr("freeze", "--status", "-o", "json").out)
    assert isinstance(found, dict)
    return found


def test_frozen_from_the_command_line(site: Site) -> None:
    site.point(DAY, lock=DAY)
    assert site.dr("freeze", "--status", "-o", "json").items == []
    assert site.dr("freeze", "--reason", "ransomware").code == 0
    pruned = site.dr("points", "prune")
    assert (pruned.code, "ransomware" in pruned.err) == (5, True)
    backup = site.dr("backup", "appdata")
    assert (backup.code, "--even-frozen" in backup.err) == (5, True)
    scheduled = site.dr("backup", "appdata", "--scheduled", "--every", "10m")
    (line,) = scheduled.out.splitlines()
    assert (scheduled.code, scheduled.err) == (0, ""), "a CronJob does not fail for what somebody decided"
    who = turns_of(site)["items"][0]
    assert line == f"nothing was captured: frozen by {who['by']} since {who['at']}: ransomware"
    pruned = site.dr("points", "prune", "--scheduled")
    assert (pruned.code, pruned.out) == (
        0,
        f"nothing was pruned: frozen by {who['by']} since {who['at']}: ransomware\n",
    )
    told = json.loads(site.dr("backup", "appdata", "--scheduled", "-o", "json").out)
    assert (told["items"], "ransomware" in told["frozen"]) == ([], True)
    looks = service_parts(open_app(str(site.home / "dr.yaml"), None, "capture")).agenda
    assert looks().due == (), "the service has nothing to do while frozen"
    turns = turns_of(site)
    assert turns["frozen"] is True
    assert turns["items"][0]["reason"] == "ransomware"
    assert site.dr("freeze", "--lift").code == 0
    assert len(looks().due) == 1, "and goes on when it is lifted"
    assert site.dr("points", "prune").code == 0


def test_a_clock_that_differs_stops_a_prune(site: Site) -> None:
    site.point(DAY, lock=DAY)
    site.server.control("POST", "/clock", {"offset_s": 400})
    try:
        answer = site.dr("points", "prune")
    finally:
        site.server.control("POST", "/clock", {"offset_s": 0})
    assert (answer.code, "clock-skew" in answer.err) == (1, True)


def test_an_empty_vault_is_an_error(site: Site) -> None:
    answer = site.dr("points", "prune")
    assert (answer.code, "listing-shrank" in answer.err) == (1, True)
