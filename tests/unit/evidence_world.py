"""A deployment with drills on record, each as a runner leaves it: order, plan, journal, report; and a key to sign with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from dr.app.core import App
from dr.model.drills import DrillOrder, RowKey, Scenario
from dr.model.evidence import DrillReport, DrillRow, Loss, People, Recovery, StepTiming, Verdict
from dr.model.plans import DeclaredStep, PlannedRestore, PointRef, RestorePlan, Target
from dr.model.points import Check
from dr.model.runs import Claim, RunEnd, RunState, Stamp, StepOutcome
from dr.model.strategy import FailureDomain
from dr.record.codec import encode, sha256
from dr.record.layout import UnitLayout, ensure_format
from dr.run.drillorder import order_body
from dr.settings import Settings, load_settings
from dr.stores.memory import MemoryStore
from dr.vendors.signingfile import make_signing_key
from tests.unit.fakes import FakeClock, manifest
from tests.unit.watched_world import CONFIG, DATABASE, NOW, STRATEGY, H, S

TABLE = replace(
    STRATEGY,
    objectives=tuple(
        replace(row, approved_by="Jane Doe, CTO, 2025-01-15" if row.component == "appdata" else "")
        for row in STRATEGY.objectives
    ),
    sha256="ab" * 32,
)
ANN, BEN = "Ann Lee", "Ben Ode"
PEOPLE = People(ANN, "Cy Wu", BEN, "CHG-1207")
SCENARIO = Scenario(
    "quarterly",
    f"Every row, every quarter. {'no-place-to-break/' * 5}",
    (RowKey("appdata", FailureDomain.SOURCE),),
    sha256="cd" * 32,
)


@dataclass
class Site:
    """Its stores are in memory and share its clock; settings and key are files."""

    app: App
    clock: FakeClock
    folder: Path

    @property
    def public_key(self) -> str:
        return (self.folder / "evidence.pem.pub").read_text()


def site(folder: Path, *, signed: bool = True) -> Site:
    if signed:
        make_signing_key(folder / "evidence.pem")
    clock = FakeClock(NOW)
    app = App(_settings(folder, signed), TABLE, "restore", clock=clock)
    for name in ("control", "appdata", "config"):
        store = MemoryStore(name, now=clock.now)
        ensure_format(store, "control" if name == "control" else "vault")
        app.__dict__.setdefault("control", store)
        app._vaults[name] = store
    return Site(app, clock, folder)


def _settings(folder: Path, signed: bool) -> Settings:
    text = "apiVersion: dr/v1\nkind: Settings\nscope: lab\ncontrol: file://./control\ncacheDir: cache\nvaults:\n"
    for name in ("appdata", "config"):
        text += f"  {name}: {{url: file://./{name}, project: energent-backup, location: us-east1}}\n"
    (folder / "dr.yaml").write_text(text + ("keys: {evidence: file://./evidence.pem}\n" if signed else ""))
    return load_settings(folder / "dr.yaml", {})


def measured(seconds: float = 7.25, verdict: Verdict = Verdict.MET, **more: object) -> DrillRow:
    """The database after the loss of its source."""
    steps = (StepTiming("verify-point", 0.2, 1.0), StepTiming("import", 1.5, seconds - 0.25, "op 1"),
             StepTiming("check", seconds - 0.25, seconds))  # fmt: skip
    row = DrillRow(
        component="appdata",
        domain=FailureDomain.SOURCE,
        source=str(DATABASE),
        verdict=verdict,
        rto=Recovery(3600, seconds, 2.0, steps),
        rpo=Loss(900, 3, 58.5, 4812, witness="writer's record, sha256 " + "ef" * 32),
        instant=NOW - H,
        point="points/x.json",
        objects=1200,
        size=734003,
        checks=(Check("documents", True, "1,200 of 1,200"),),
        point_sha256="12" * 32,
    )
    return replace(row, **more)  # type: ignore[arg-type]


IDLE = DrillRow(
    "config", FailureDomain.REGION, str(CONFIG), Verdict.NOT_DRILLED, Recovery(1800, None, None),
    Loss(0, None, None, None), None, "", 0, 0, (),
)  # fmt: skip


def hold_drill(
    here: Site,
    name: str,
    rows: Sequence[DrillRow] = (),
    *,
    people: People = PEOPLE,
    teardown: Sequence[Check] = (Check("database db-2", True, "deleted"),),
    tabled: bool = True,
) -> DrillReport:
    """As a runner would leave it, an hour of the clock long at most."""
    control, at = here.app.control, here.clock.now()
    order = DrillOrder(
        name, SCENARIO, "lab", at - 60 * S, at - 60 * S, Stamp(at, 0, "b"), "writer's record",
        (DeclaredStep("cluster creation", timedelta(minutes=25)),), by="ann@laptop as restore@energent", people=people,
    )  # fmt: skip
    if tabled:
        control.put(f"strategies/{TABLE.sha256}.yaml", b"objectives: []\n")
        here.clock.advance(120)
        at = here.clock.now()
    control.put(f"drills/{name}/order.json", order_body(order, TABLE))
    control.put(f"drills/{name}/plan.json", encode(_plan(here, order, at)))
    _journal(here, name, at)
    report = DrillReport(
        name, "quarterly", "lab", at - 60 * S, at - 60 * S, at, at + 90 * S, TABLE.sha256, "0.3.0",
        tuple(rows) or (measured(), IDLE), tuple(teardown), {"python": "3.11", "why": SCENARIO.why}, by=order.by,
    )  # fmt: skip
    control.put(f"drills/{name}/report.json", encode(report))
    here.clock.advance(3600)
    return report


def _plan(here: Site, order: DrillOrder, at: datetime) -> RestorePlan:
    one = manifest(DATABASE, NOW - H)
    vault = here.app.vault("appdata")
    info = vault.put(one.name, encode(one))
    vault.retain(one.name, generation=info.generation, until=NOW + 90 * 24 * H)
    item = PlannedRestore(
        source=DATABASE,
        domain=FailureDomain.SOURCE,
        method=one.method,
        point=PointRef(one.name, info.generation, sha256(encode(one))),
        instant=one.as_of,
        target=Target(True, "drill-3f2a-", {"database": "drill-3f2a-db"}),
        size=one.size,
        predicted=None,
        cost_usd=0.0,
        creates=("database drill-3f2a-db",),
        reasons=(),
    )
    return RestorePlan(order.id, order.requested, at, TABLE.sha256, (item,))


def _journal(here: Site, name: str, at: datetime) -> None:
    layout, control = UnitLayout("drills", name), here.app.control
    stamp = Stamp(at, 0, "b")
    control.put(layout.claim(1), encode(Claim(name, 1, "host/1", stamp, at + H)))
    for index, step in enumerate(("verify-point", "import", "check")):
        done = StepOutcome(f"appdata.db.source.{step}", index, 1, Stamp(at + index * S, index, "b"),
                           Stamp(at + (index + 1) * S, index + 1, "b"), {"n": index})  # fmt: skip
        control.put(layout.step(1, index, done.step), encode(done))
    control.put(layout.end(1), encode(RunEnd(name, 1, RunState.COMMITTED, Stamp(at + 4 * S, 4, "b"), "1 restored")))
