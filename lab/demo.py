"""The main job on real parts: fill, back up, lose it, restore to a point in time, measure; then a control that must fail.

Everything that `dr` does here it does as a user would: through its command line, with a settings and a strategy file.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import click

from lab.stage import GRANULARITY_S, DemoFailed, World, new_world

TENANTS, DOCUMENTS = 10, 2000
POINT_DEADLINE_S = 180
ROWS = frozenset({"cluster", "appdata", "config", "audit"})
APPROVER = "approver of the demo"
PEOPLE = (
    ("--executor", "executor of the demo"),
    ("--witnessed-by", "witness of the demo"),
    ("--approver", APPROVER),
    ("--ticket", "DEMO-1"),
    ("--runbook", "drills"),
)
"""What the report says of people; a real one names them."""


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True, help="Report and logs."
)
@click.option("--keep", is_flag=True, help="Leave the lab running.")
def demo(out: Path, keep: bool) -> None:
    """Fill the world, back it up, lose it, restore it to a point in time, and report what was measured."""
    world = new_world(out)
    try:
        with world.background("build", "lab.build") as build:
            first_row(world)
            world.wait_for_build(build)
        whole_job(world)
    finally:
        if not keep:
            world.python("lab", "down", "--dir", str(world.lab))


def first_row(world: World) -> None:
    """Application data, which needs no build: captured, struck, drilled, measured."""
    say = world.stage.say
    say("starting the lab's data plane (Firestore, Cloud Storage, Pub/Sub)")
    world.python("lab", "up", "--dir", str(world.lab), "--only", "data", "--snapshot-granularity", f"{GRANULARITY_S:g}")
    world.write_strategy()
    world.dr("init", "--repositories")
    say(f"filling Firestore: {TENANTS} tenants, {DOCUMENTS} documents")
    fill(world, "--only", "firestore")
    with world.writers("firestore"):
        world.dr("backup", "appdata")
        world.wait_for_writes(20)
        struck = world.disaster("bad-deploy")
        _, text = world.drill("appdata", struck, codes=(0,))
    say("first measured row:", bold=True)
    world.stage.show(text)


def fill(world: World, *more: str) -> None:
    """The platform of the strategy's guide, scaled; every acknowledged write is recorded."""
    size = ("--tenants", str(TENANTS), "--documents", str(DOCUMENTS))
    world.python("lab.energent", "fill", "--lab", str(world.lab), *size, *more, "--witness", str(world.witness))


def whole_job(world: World) -> None:
    """All four rows: captured by the service, lost, brought back to one point in time, and drilled."""
    say = world.stage.say
    say("starting the lab's cluster (etcd, Kubernetes, Velero, a node)")
    world.python("lab", "up", "--dir", str(world.lab), "--snapshot-granularity", f"{GRANULARITY_S:g}")
    say("beginning anew: documents again, and the cluster: the platform, its volumes, the tenants' namespaces")
    world.python("lab.energent", "wipe", "--lab", str(world.lab), "--witness", str(world.witness))
    fill(world)
    world.dr("check")
    world.stage.show(world.dr("plan")[1])
    say("$ dr run   (as a service: it captures each first slot at once, and follows what changes)", bold=True)
    with world.background("dr-run", "dr", "run") as service:
        with world.writers("all"):
            back_up(world, service)
            world.wait_for_writes(20)
            struck = world.disaster("config-broken")
            world.disaster("bad-deploy")
            world.disaster("namespace-deleted")
        bring_back(world, struck)
    world.disaster("audit-store-lost")
    code, text = world.drill("quarterly", struck, (0, 6), *(word for pair in PEOPLE for word in pair))
    world.stage.show(text)
    drill = save_report(world)
    control(world, struck)
    say("closing table" if code == 0 else "closing table: an objective was missed", bold=True)
    world.stage.show(world.dr("drill", "report", drill)[1])
    evidence(world)
    say(f"report: {world.out / 'report.html'}", bold=True)
    if code:
        raise DemoFailed("the drill missed an objective")


def back_up(world: World, service: subprocess.Popen[bytes]) -> None:
    """`dr run` captures each first slot at once and follows what is captured as it changes; until every row has a point."""
    before = set(points(world))
    deadline = time.monotonic() + POINT_DEADLINE_S
    while missing := ROWS - {name.split(".")[0] for name in set(points(world)) - before}:
        if service.poll() is not None or time.monotonic() > deadline:
            world.stage.show(world.last_lines("dr-run", 25))
            ended = f"ended with exit code {service.returncode}" if service.returncode is not None else "is running"
            raise DemoFailed(
                f"dr run made no point for {', '.join(sorted(missing))} (it {ended}); see {world.out / 'dr-run.log'}"
            )
        time.sleep(0.5)
    world.stage.show(world.dr("points", "list")[1])


def bring_back(world: World, struck: str) -> None:
    """During an incident nothing new is captured; then one instant over what was lost: planned, reviewed, applied as reviewed."""
    world.dr("freeze", "--reason", "wrong release, documents deleted, namespaces deleted")
    world.stage.say("three rows are lost; bringing them back to the instant before", bold=True)
    plan = str(world.out / "plan.json")
    rows = ("--component", "cluster", "--component", "appdata", "--component", "config")
    world.stage.show(world.dr("restore", "plan", "--point-in-time", struck, *rows, "--out", plan)[1])
    world.stage.show(world.dr("restore", "apply", plan)[1])
    world.dr("freeze", "--lift", "--reason", "brought back")


def points(world: World) -> list[str]:
    """Slots of all committed points."""
    items = json.loads(world.quiet_dr("points", "list", "-o", "json", "--fresh"))["items"]
    return [item["slot"] for item in items]


def save_report(world: World) -> str:
    """The newest drill is signed off; its report in all its forms beside the logs; its id."""
    drill = str(json.loads(world.quiet_dr("drill", "report", "-o", "json"))["drill"]["id"])
    world.stage.show(world.dr("drill", "sign-off", drill, "--as", APPROVER, "--comment", "figures of a lab")[1])
    for form, name in (("html", "report.html"), ("junit", "report.xml"), ("json", "report.json")):
        (world.out / name).write_text(world.quiet_dr("drill", "report", "-o", form))
    return drill


def control(world: World, struck: str) -> None:
    """A drill that cannot fail proves nothing: damage one artefact behind a backup that Velero calls Completed."""
    say = world.stage.say
    say("control: one artefact of the newest cluster point is damaged in the vault, after its commit", bold=True)
    items = json.loads(world.quiet_dr("points", "list", "-o", "json", "--component", "cluster"))["items"]
    newest = max(items, key=lambda item: str(item["as_of"]))
    damage = json.loads(world.python("lab", "disaster", "vault-artefact-damaged", "--dir", str(world.lab),
                                     "--point", newest["name"], "--artefact", "*.tar.gz", "--how", "flip"))  # fmt: skip
    code, text = world.drill("cluster", struck, codes=(1, 6, 7))
    world.stage.show(text)
    named = re.search(re.escape(str(damage["artefact"]).rsplit("/", 1)[-1]), text)
    if code != 7 or not named:
        raise DemoFailed(
            f"the control failed: the drill ended with exit code {code} and did not name {damage['artefact']}"
        )
    say(f"control passed: the drill says FAILED and names {damage['artefact']}", bold=True)


def evidence(world: World) -> None:
    """The report is sealed: verified with its file and the public key alone. And the control: one figure of it, bettered."""
    key, bent = world.out / "evidence.pub", world.out / "report-bettered.json"
    key.write_text(world.quiet_dr("drill", "key"))
    files = [str(world.out / name) for name in ("report.json", "report.html")]
    world.stage.show(world.dr("drill", "verify", *files, "--key", str(key))[1])
    text = (world.out / "report.json").read_text()
    bent.write_text(re.sub(r'"measured_s": [0-9.]+', '"measured_s": 0.001', text, count=1))
    world.stage.say("control: one recovery time of a copy is bettered")
    shown = world.dr("drill", "verify", str(bent), "--key", str(key), codes=(7,))[1]
    world.stage.show(shown)
    if "rto.measured_s: sealed" not in shown:
        raise DemoFailed("the bettered figure was not named")
