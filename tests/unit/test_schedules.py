"""What runs dr in a cluster: the files in `schedules/` are the rendering, the Pods are restricted, cron hits every slot."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dr.app.core import open_app
from dr.app.deploying import order_of, pod_settings
from dr.cli.main import cli
from dr.model.ids import SourceId
from dr.model.strategy import SourceSpec
from dr.model.timeline import floor_to, parse_duration
from dr.plan.due import Schedule
from dr.plan.permissions import IDENTITIES, Scope, kubernetes_rules, rights_of
from dr.plan.rows import schedules
from dr.schedules.cron import firing_for
from dr.schedules.jobs import LONGEST_NAME, capture_jobs, job_name, upkeep_jobs
from dr.schedules.pods import Cluster
from dr.schedules.render import OVERLAYS, Order, files, flat, manifests
from dr.settings import load_settings, settings_template
from dr.strategy import default_strategy_text, load_strategy
from dr.strategy.load import strategy_of

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "schedules"
YOURS = ("overlays/production/", "overlays/staging/", "terraform/", "monitoring/")
"""What stands in `schedules/` and is not rendered."""
Object = dict[str, Any]


def order() -> Order:
    settings, cluster = load_settings(None, {"DR_SCOPE": "lab", "DR_CONTROL": "gs://control"}), Cluster()
    table, text = load_strategy(None), default_strategy_text()
    config = {"dr.yaml": pod_settings(settings, cluster), "strategy.yaml": text}
    return Order(table, schedules(table, {}), (), config, cluster)


def with_configuration() -> tuple[SourceSpec, ...]:
    """Sources of a table that follows configuration."""
    table = yaml.safe_load(default_strategy_text())
    row = next(row for row in table["objectives"] if row["component"] == "config")
    options = {"kinds": ["configmaps", "deployments.apps"], "customResources": ["widgets.example.com"]}
    row["sources"] = [{"kind": "kubernetes", "name": "energent-production", "options": options}]
    return strategy_of("strategy.yaml", yaml.safe_dump(table).encode()).sources()


def everything(overlay: str = "both") -> list[Object]:
    return [dict(one) for one in manifests(order(), overlay)]


def of_kind(found: list[Object], kind: str) -> list[Object]:
    return [one for one in found if one["kind"] == kind]


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    for one in of_kind(found, "CronJob"):
        yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for one in of_kind(found, "Deployment"):
        yield one["metadata"]["name"], one["spec"]["template"]["spec"]


# --- the files -------------------------------------------------------------------------------------------------------


def rendering() -> dict[str, str]:
    module = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert module is not None
    assert module.loader is not None
    render = importlib.util.module_from_spec(module)
    module.loader.exec_module(render)
    found = render.schedules()
    assert isinstance(found, dict)
    return found


def test_the_files_in_the_repository_are_the_rendering_of_the_shipped_table() -> None:
    found = {str(path.relative_to(SHIPPED)): path for path in SHIPPED.rglob("*") if path.is_file()}
    rendered = rendering()
    assert {name for name in found if not name.startswith(YOURS)} == set(rendered), "`make docs` writes them anew"
    different = [name for name, text in rendered.items() if found[name].read_text() != text]
    assert different == [], "`make docs` writes them anew"


def test_a_user_gets_the_same_files_from_dr_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine" / "overlays" / "production" / "kustomization.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for command in (["init"], ["schedules", "render", "--out", "mine"]):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
    assert {name: (tmp_path / "mine" / name).read_text() for name in rendering()} == rendering()
    assert mine.read_text() == "mine", "overlays of one's own are left alone"


def test_without_out_the_manifests_are_one_stream(tmp_path: Path) -> None:
    (tmp_path / "dr.yaml").write_text(settings_template().replace("strategy: strategy.yaml\n", ""))
    done = CliRunner().invoke(cli, ["--config", str(tmp_path / "dr.yaml"), "schedules", "render", "--overlay", "both"])
    kinds = [document["kind"] for document in yaml.safe_load_all(done.output)]
    assert kinds[0] == "Namespace"
    assert {"CronJob", "Deployment", "ConfigMap", "ClusterRole"} <= set(kinds)


def test_every_file_is_yaml_and_says_the_same_thing_twice_rather_than_point_at_it() -> None:
    for name, text in files(order()).items():
        assert list(yaml.safe_load_all(text)), name
        assert "&id0" not in text, name


def test_flat_and_kustomized_name_the_same_objects() -> None:
    flat_names = {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(flat(order(), "both"))}
    tree = files(order())
    placed = {
        (one["kind"], one["metadata"]["name"])
        for name, text in tree.items()
        if "kustomization" not in name and name not in ("base/dr.yaml", "base/strategy.yaml")
        for one in yaml.safe_load_all(text)
    }
    assert flat_names == placed | {("ConfigMap", "dr-config")}


@pytest.mark.parametrize("overlay", ["production", "staging"])
def test_an_environments_settings_are_settings(overlay: str) -> None:
    settings = load_settings(SHIPPED / "overlays" / overlay / "dr.yaml", {})
    assert settings.scope == overlay
    assert settings.keys.primary != settings.keys.secondary


def test_the_pods_settings_leave_the_laptop_behind(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    text = settings_template() + (
        "credentials: {capture: k.json}\nkubernetes: {capture: kc}\ncaFile: ca.pem\ncacheDir: c\n"
        'notifications: {slack: "https://hooks.example.com/T/B/X"}\nlease: {name: other, duration: 1m}\n'
    )
    (tmp_path / "dr.yaml").write_text(text)
    (tmp_path / "strategy.yaml").write_text(default_strategy_text())
    app = open_app(str(tmp_path / "dr.yaml"), None, "capture", environ={})
    made = order_of(app, Cluster(namespace="elsewhere"), default_strategy_text(), measured=False)
    assert "hooks.example.com" not in "".join(files(made).values())
    (tmp_path / "pod").mkdir()
    for name, content in made.config.items():
        (tmp_path / "pod" / name).write_text(content)
    settings = load_settings(tmp_path / "pod" / "dr.yaml", {})
    assert (settings.credentials.capture, settings.kubernetes.capture) == (None, None)
    assert settings.ca_file == tmp_path / "pod" / "ca.pem"
    assert (settings.lease.name, settings.lease.namespace) == ("other", "elsewhere")
    assert settings.vaults == app.settings.vaults
    assert "namespace: elsewhere" in files(made)["base/network-policy.yaml"]
    assert "      - ca.pem\n" in files(made)["base/kustomization.yaml"]


# --- cron ------------------------------------------------------------------------------------------------------------


def fires(expression: str, at: datetime) -> bool:
    """Cron's own arithmetic for the forms that are rendered: `*`, `*/n`, a number, a list."""
    values = (at.minute, at.hour, at.day, at.month, at.isoweekday() % 7)
    return all(_matches(field, value) for field, value in zip(expression.split(), values, strict=True))


def _matches(field: str, value: int) -> bool:
    if field.startswith("*/"):
        return value % int(field[2:]) == 0
    return field == "*" or str(value) in field.split(",")


@given(st.integers(1, 4 * 24 * 60), st.integers(0, 400))
def test_every_slot_of_a_cadence_has_a_firing_at_its_due_instant(minutes: int, days: int) -> None:
    cadence = timedelta(minutes=minutes)
    firing = firing_for(cadence)
    slot = floor_to(datetime(2026, 3, 28, tzinfo=UTC) + timedelta(days=days), cadence)
    assert fires(firing.expression, slot)
    assert fires(firing.expression, slot + cadence)
    assert firing.every <= cadence


@pytest.mark.parametrize(
    ("cadence", "expression"),
    [
        ("12h", "0 */12 * * *"),
        ("1h", "0 * * * *"),
        ("1d", "0 0 * * *"),
        ("3d", "0 0 * * *"),
        ("10m", "*/10 * * * *"),
        ("8m", "*/4 * * * *"),
        ("90m", "*/30 * * * *"),
        ("1m", "* * * * *"),
        ("90s", "* * * * *"),
    ],
)
def test_cron_says_it_plainly(cadence: str, expression: str) -> None:
    assert firing_for(parse_duration(cadence)).expression == expression


# --- the jobs --------------------------------------------------------------------------------------------------------


def test_captures_follow_the_plans_cadence_and_measured_durations_change_it() -> None:
    table = load_strategy(None)
    cluster = next(schedule for schedule in schedules(table, {}) if schedule.source.component == "cluster")
    assert capture_jobs(table, [cluster])[0].schedule == "0 */12 * * *"
    slower = replace(cluster, cadence=timedelta(hours=6))
    assert capture_jobs(table, [slower])[0].schedule == "0 */6 * * *"


def test_one_job_serves_every_source_of_a_row() -> None:
    table = load_strategy(None)
    sources = [SourceId("appdata", "firestore", name) for name in ("a", "b")]
    both = [
        Schedule(source, timedelta(minutes=m), timedelta(minutes=15)) for source, m in zip(sources, (8, 6), strict=True)
    ]
    (job,) = capture_jobs(table, both)
    assert job.schedule == "*/2 * * * *"


def test_every_cronjob_is_as_the_contract_wants_it() -> None:
    jobs = of_kind(everything(), "CronJob")
    assert len(jobs) >= 4
    for job in jobs:
        spec = job["spec"]
        assert len(job["metadata"]["name"]) <= LONGEST_NAME
        assert (spec["timeZone"], spec["concurrencyPolicy"]) == ("Etc/UTC", "Forbid")
        assert spec["startingDeadlineSeconds"] >= 10
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
        assert spec["jobTemplate"]["spec"]["backoffLimit"] <= 2
        policy = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert [(rule["action"], rule["onExitCodes"]["values"]) for rule in policy] == [
            ("Ignore", [5]),
            ("FailJob", [2, 4]),
        ]


def test_a_capture_is_told_how_often_it_is_started() -> None:
    jobs = {one["metadata"]["name"]: one for one in of_kind(everything(), "CronJob")}
    said = {name: pod["containers"][0]["args"] for name, pod in pods(everything("cronjobs")) if "capture" in name}
    assert said["dr-capture-appdata"] == ["backup", "appdata", "--scheduled", "--every", "4m"]
    assert jobs["dr-capture-appdata"]["spec"]["schedule"] == "*/4 * * * *"


def test_each_row_is_drilled_each_night_and_the_quarter_is_asked_for_each_day() -> None:
    from dr.scenarios import load_scenario, shipped

    jobs = upkeep_jobs(load_strategy(None), [load_scenario(name) for name in shipped()])
    drills = {job.name: job for job in jobs if job.name.startswith("dr-drill-")}
    assert [job.retries for job in drills.values()] == [0] * len(drills)
    rows = [f"dr-drill-nightly-{row}" for row in ("appdata", "audit", "cluster", "config")]
    assert sorted(drills) == [*rows, "dr-drill-quarterly"]
    assert all("--if-due" in job.args and not job.suspended for job in drills.values())
    assert drills["dr-drill-quarterly"].schedule == "0 6 * * *", "the calendar of the quarter is not cron's"
    assert drills["dr-drill-nightly-appdata"].deadline == timedelta(hours=2)  # one domain of 1 h, and the teardown
    assert "audit" not in " ".join(drills["dr-drill-quarterly"].args), "nobody brings a Pod a writer's record"
    assert drills["dr-drill-nightly-audit"].args == ("drill", "run", "nightly-audit", "--if-due")


def test_a_row_whose_source_cannot_tell_what_it_held_is_left_out_of_scheduled_drills() -> None:
    from dr.scenarios import load_scenario, shipped

    scenarios, whole = [load_scenario(name) for name in shipped()], load_strategy(None)
    rows = tuple(replace(row, sources=tuple(map(sinkless, row.sources))) for row in whole.objectives)
    told = {job.name: job.args for job in upkeep_jobs(whole, scenarios)}
    untold = {job.name: job.args for job in upkeep_jobs(replace(whole, objectives=rows), scenarios)}
    assert told.keys() == untold.keys(), (
        "the small drills take old points, which are judged by the instant that they restore"
    )
    assert "--component" not in told["dr-drill-quarterly"]
    assert untold["dr-drill-quarterly"].count("--component") == 3
    assert "audit" not in untold["dr-drill-quarterly"]


def sinkless(spec: SourceSpec) -> SourceSpec:
    return replace(spec, options={name: value for name, value in spec.options.items() if name != "sink"})


def test_a_long_name_is_cut_to_what_kubernetes_takes() -> None:
    assert len(job_name("drill", "x" * 80)) == LONGEST_NAME


def test_every_command_is_one_that_dr_has() -> None:
    for name, pod in pods(everything()):
        args = list(pod["containers"][0]["args"])
        command: click.Command = cli
        context = click.Context(cli, info_name="dr", obj={"config": None, "strategy": None})
        while isinstance(command, click.Group):
            found = command.get_command(context, args.pop(0))
            assert found is not None, name
            command = found
        command.make_context(name, args, parent=context)


# --- the pods --------------------------------------------------------------------------------------------------------


def test_every_pod_is_restricted_and_its_root_read_only() -> None:
    for name, pod in pods(everything()):
        outer, (container,) = pod["securityContext"], pod["containers"]
        inner = container["securityContext"]
        assert outer["runAsNonRoot"], name
        assert outer["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not inner["allowPrivilegeEscalation"]
        assert inner["readOnlyRootFilesystem"]
        assert inner["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert {volume["name"] for volume in pod["volumes"]} == {"config", "cache", "tmp"}


def test_the_service_has_two_replicas_probes_and_time_to_end() -> None:
    (service,) = of_kind(everything("service"), "Deployment")
    pod = service["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert service["spec"]["replicas"] == 2
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert {entry["topologyKey"] for entry in pod["topologySpreadConstraints"]} >= {"kubernetes.io/hostname"}
    (budget,) = of_kind(everything("service"), "PodDisruptionBudget")
    assert budget["spec"]["selector"] == service["spec"]["selector"]


def test_identities_are_who_they_must_be() -> None:
    accounts = {name: pod["serviceAccountName"] for name, pod in pods(everything())}
    assert accounts.pop("dr-prune") == "dr-prune"
    assert accounts.pop("dr-verify") == "dr-restore"
    for name, account in accounts.items():
        assert account == ("dr-restore" if "drill" in name else "dr-capture"), name


def test_prune_has_no_way_into_the_cluster() -> None:
    bound = [one["subjects"][0]["name"] for one in everything() if one["kind"].endswith("RoleBinding")]
    assert "dr-prune" not in bound
    assert dict(pods(everything()))["dr-prune"]["automountServiceAccountToken"] is False


def test_the_network_policy_lets_nothing_in_but_readers_of_metrics_and_names_what_goes_out() -> None:
    (policy,) = of_kind(everything(), "NetworkPolicy")
    assert policy["spec"]["podSelector"] == {}
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all(entry.get("from") for entry in policy["spec"]["ingress"])
    assert all(entry.get("to") and entry.get("ports") for entry in policy["spec"]["egress"])
    assert "0.0.0.0/0" not in str(policy)


# --- rights ----------------------------------------------------------------------------------------------------------


def test_the_roles_are_the_one_table_of_permissions() -> None:
    sources = load_strategy(None).sources()
    roles = [one for one in everything() if one["kind"] in ("Role", "ClusterRole")]
    for identity in IDENTITIES:
        shipped = [rule for one in roles if one["metadata"]["name"] == f"dr-{identity}" for rule in one["rules"]]
        wanted = kubernetes_rules(identity, sources)
        assert shipped == [rule.manifest() for scope in Scope for rule in wanted if rule.scope is scope]


def test_the_lab_grants_what_is_shipped_and_nothing_beside_it() -> None:
    from lab.grants import GOOGLE, KUBERNETES, PLACES, SCRATCH_BUCKET, _captured

    for identity in ("capture", "restore"):
        assert KUBERNETES[identity] == kubernetes_rules(identity, _captured())
    from dr.plan.permissions import GRANTS

    scratch = (f"buckets/{SCRATCH_BUCKET}",)  # a place that a person names: `dr drill mutate --scratch`
    mine = [row for row in GOOGLE if row[0] in IDENTITIES and row[2] != scratch]
    assert mine == [(grant.identity, grant.permissions, PLACES[grant.where]) for grant in GRANTS]


def test_capture_and_prune_change_nothing_in_the_cluster_but_backups_and_the_lease() -> None:
    rights = rights_of(kubernetes_rules("capture", with_configuration()))
    writing = {str(right) for right in rights if right.verb not in ("get", "list", "watch")}
    leases = {f"{verb} leases.coordination.k8s.io" for verb in ("create", "update", "patch")}
    assert writing == {"create backups.velero.io", *leases}
    assert kubernetes_rules("prune", with_configuration()) == ()


def test_configuration_asks_for_the_kinds_that_the_strategy_names() -> None:
    rules = kubernetes_rules("capture", with_configuration())
    assert {(rule.groups, rule.resources) for rule in rules if rule.verbs == "list watch"} >= {
        ("-", "configmaps"),
        ("apps", "deployments"),
        ("example.com", "widgets"),
    }


def test_overlays_choose_among_components() -> None:
    assert of_kind(everything("cronjobs"), "Deployment") == []
    names = [one["metadata"]["name"] for one in of_kind(everything("service"), "CronJob")]
    assert not [name for name in names if name.startswith("dr-capture-")]
    assert set(OVERLAYS) == {"service", "cronjobs", "both"}
