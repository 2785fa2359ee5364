"""`python -m lab soak`: the shipped manifests alone keep a shortened table true while things are killed at random; then it is proven.

Nothing is asked of `dr` here that its CronJobs and its Deployment do not do by themselves, until the end, when a person looks:
points, logs and a drill of all rows against the writers' own record.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import yaml

from dr.model.timeline import parse_duration, parse_instant
from lab.deploy import NAMESPACE, Wanted, apply, shortened
from lab.kube import Kube, wait_for
from lab.mischief import Mischief
from lab.soak_verdict import Disturbance, Made, doubles, kept_too_short, stretches
from lab.stage import GRANULARITY_S, DemoFailed, World, new_world
from lab.state import Lab, LabError

SLOTTED = ("cluster", "appdata")
COMPONENTS = (*SLOTTED, "config", "audit")
RECOVERY = timedelta(seconds=90)
"""What a kill may cost beyond its own length: the capture it undid, and until the next start of a CronJob."""
CALM_S = 420.0
TENANTS, DOCUMENTS = 3, 200
UPKEEP = "*/3 * * * *"
"""Prune, verification and all drills: more often, and two cores do nothing else."""


@dataclass
class Findings:
    """What spoke against the soak, and what was seen."""

    faults: list[str] = field(default_factory=list)
    seen: dict[str, object] = field(default_factory=dict)

    def require(self, good: bool, words: str) -> None:
        if not good:
            self.faults.append(words)


@click.command()
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--rpo", default="4m", show_default=True, help="Of the rows that are captured in slots.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/soak"), show_default=True)
@click.option("--calm", is_flag=True, help="Kill nothing.")
def soak(minutes: float, rpo: str, seed: int, out: Path, calm: bool) -> None:
    """Run the lab on the shipped manifests alone, kill at random, and prove the table at the end."""
    world = new_world(out)
    try:
        findings = whole_soak(world, minutes, rpo, seed, calm)
    finally:
        world.python("lab", "down", "--dir", str(world.lab))
    (world.out / "soak.json").write_text(json.dumps(asdict(findings), indent=2, default=str) + "\n")
    for fault in findings.faults:
        world.stage.say(f"FAULT: {fault}", bold=True)
    if findings.faults:
        raise DemoFailed(f"the soak found {len(findings.faults)} faults; see {world.out / 'soak.json'}")
    world.stage.say(f"nothing missed, lost, doubled or let go early: {world.out / 'soak.json'}", bold=True)


def whole_soak(world: World, minutes: float, rpo: str, seed: int, calm: bool) -> Findings:
    """Set up, let go, look."""
    lab = set_up(world, rpo)
    findings = Findings()
    mischief = Mischief(lab, random.Random(seed))
    with world.writers("all"):
        apply(lab, Wanted("both", (world.out / "strategy.yaml").read_text(), upkeep=UPKEEP))
        world.stage.say(f"the shipped manifests run; {minutes:g} minutes" + ("" if calm else " of mischief"), bold=True)
        first_points(world, lab)
        begun = time.monotonic()
        if calm:
            wait_for("the end", lambda: time.monotonic() - begun > 60 * minutes, 60 * minutes + 60, pause_s=1)
        else:
            with mischief.going_on():
                wait_for("the end", lambda: time.monotonic() - begun > 60 * minutes, 60 * minutes + 60, pause_s=1)
        quiet = datetime.now(UTC)
        kills = ", ".join(
            f"{count} of {what}" for what, count in sorted(Counter(one.what for one in mischief.done).items())
        )
        world.stage.say(f"kills: {kills or 'none'}; now what runs by itself must converge")
        admin = Kube(lab.kubeconfigs["admin"])
        waited(findings, "a new point of every row", lambda: set(COMPONENTS) <= captured(world, quiet))
        waited(findings, "the success of every CronJob", lambda: all(succeeded(admin).values()))
    end = datetime.now(UTC)
    look(world, lab, findings, mischief.done, end, rpo)
    return findings


def waited(findings: Findings, what: str, condition: Callable[[], bool]) -> None:
    """What does not come is a fault, and no reason not to look at the rest."""
    try:
        wait_for(what, condition, CALM_S, pause_s=2)
    except LabError as error:
        findings.faults.append(str(error))


def first_points(world: World, lab: Lab) -> None:
    """Raises LabError naming the rows that have none, and what their Pods said last."""
    try:
        wait_for("the first point of every row", lambda: set(COMPONENTS) <= captured(world), CALM_S, pause_s=2)
    except LabError as error:
        missing = sorted(set(COMPONENTS) - captured(world))
        said = [f"{component}: {last_words(lab, f'dr-capture-{component}')}" for component in missing]
        raise LabError("; ".join([str(error), *said])) from None


def set_up(world: World, rpo: str) -> Lab:
    """A lab with a platform in it, and a strategy that makes every CronJob fire while somebody looks."""
    say = world.stage.say
    say("starting the lab")
    world.python("lab", "up", "--dir", str(world.lab), "--snapshot-granularity", f"{GRANULARITY_S:g}")
    (world.out / "strategy.yaml").write_text(shortened(rpo))
    world.dr("init", "--repositories")
    size = ("--tenants", str(TENANTS), "--documents", str(DOCUMENTS))
    world.python("lab.energent", "fill", "--lab", str(world.lab), *size, "--witness", str(world.witness))
    return Lab.load(world.lab)


def listed(world: World, component: str) -> list[Mapping[str, Any]]:
    """Points of a component, anew from its vault."""
    answer = world.quiet_dr("points", "list", "-o", "json", "--fresh", "--component", component)
    found = json.loads(answer)["items"]
    assert isinstance(found, list)
    return found


def captured(world: World, since: datetime | None = None) -> set[str]:
    """Components with a point begun since then."""
    found = set()
    for component in COMPONENTS:
        begun = [parse_instant(str(item["started"])) for item in listed(world, component)]
        if any(since is None or at > since for at in begun):
            found.add(component)
    return found


# --- the look at the end ---------------------------------------------------------------------------------------------


def look(world: World, lab: Lab, findings: Findings, disturbed: Sequence[Disturbance], end: datetime, rpo: str) -> None:
    """Everything that a person would ask of it."""
    world.stage.say("looking: points, CronJobs, logs, and a drill of all rows", bold=True)
    findings.seen["disturbances"] = [asdict(entry) for entry in disturbed]
    for component, retention in retentions(world).items():
        points = [made_of(item) for item in listed(world, component)]
        look_at_points(findings, component, points, retention)
        if component in SLOTTED:
            look_at_ages(findings, component, points, disturbed, end, parse_duration(rpo))
    look_at_cronjobs(findings, lab)
    code, text = world.dr("points", "verify", codes=(0, 7))
    findings.require(code == 0, f"points verify: {text[-400:]}")
    code, text = world.dr("audit", "verify", codes=(0, 7))
    findings.require(code == 0, f"audit verify: {text[-400:]}")
    drill(world, findings, end)


def made_of(item: Mapping[str, Any]) -> Made:
    return Made(str(item["slot"]), *(parse_instant(str(item[name])) for name in ("as_of", "committed", "retain_until")))


def retentions(world: World) -> dict[str, timedelta]:
    """As the soak's table has them."""
    rows = yaml.safe_load((world.out / "strategy.yaml").read_text())["objectives"]
    return {row["component"]: parse_duration(row["retention"]) for row in rows}


def look_at_points(findings: Findings, component: str, points: Sequence[Made], retention: timedelta) -> None:
    findings.seen[f"{component} points"] = len(points)
    findings.require(bool(points), f"{component}: no point")
    findings.require(not doubles(points), f"{component}: committed twice: {doubles(points)}")
    short = kept_too_short(points, retention)
    findings.require(not short, f"{component}: locked for less than the retention: {short}")


def look_at_ages(
    findings: Findings,
    component: str,
    points: Sequence[Made],
    disturbed: Sequence[Disturbance],
    end: datetime,
    rpo: timedelta,
) -> None:
    found = stretches(points, disturbed, end, RECOVERY)
    findings.seen[f"{component} worst age s"] = max(entry.age.total_seconds() for entry in found)
    for entry in found:
        words = f"{component}: the newest point was {entry.age} old at {entry.until}, {entry.excused} of it excused"
        findings.require(not entry.missed(rpo), words)


def look_at_cronjobs(findings: Findings, lab: Lab) -> None:
    """Each has fired, and one of its Jobs has succeeded."""
    fired = succeeded(Kube(lab.kubeconfigs["admin"]))
    findings.seen["cronjobs"] = fired
    findings.require(bool(fired), "there is no CronJob")
    for name, at in fired.items():
        findings.require(bool(at), f"CronJob {name} never succeeded; its newest log ends with: {last_words(lab, name)}")


def last_words(lab: Lab, cronjob: str) -> str:
    """The end of the log of a CronJob's newest Pod."""
    logs = (lab.directory / "data" / "node" / "logs").glob(f"{NAMESPACE}_{cronjob}-[0-9]*/*.log")
    newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    return newest.read_text(errors="replace")[-800:] if newest else "there is none"


def succeeded(kube: Kube) -> dict[str, str]:
    """When each CronJob last succeeded; empty: never."""
    found = {}
    for cronjob in kube.items(f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"):
        metadata, status = cronjob["metadata"], cronjob.get("status", {})
        assert isinstance(metadata, Mapping)
        assert isinstance(status, Mapping)
        found[str(metadata["name"])] = str(status.get("lastSuccessfulTime", ""))
    return found


def drill(world: World, findings: Findings, end: datetime) -> None:
    """Nothing that was acknowledged before the watermark of a continuous row is lost; the others keep their RPO."""
    struck = end.isoformat().replace("+00:00", "Z")
    code, text = world.drill("quarterly", struck, codes=(0, 1, 6, 7))
    world.stage.show(text)
    report = json.loads(world.quiet_dr("drill", "report", "-o", "json"))
    findings.seen["drill"] = report["items"]
    findings.require(code == 0, f"the drill ended with exit code {code}")
    for row in report["items"]:
        if row["component"] not in SLOTTED and row["rpo"]["writes_lost"]:
            findings.faults.append(
                f"{row['component']}/{row['domain']}: {row['rpo']['writes_lost']} acknowledged writes lost"
            )
