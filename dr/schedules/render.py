"""The files of `schedules/`: a kustomize base, components, and overlays that choose among them. Or all of one overlay, flat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import yaml

from dr.model.drills import Scenario
from dr.model.strategy import Strategy
from dr.plan.due import Schedule
from dr.schedules.identities import rights, service_accounts
from dr.schedules.jobs import Job, capture_jobs, upkeep_jobs
from dr.schedules.pods import CONFIG, Cluster, Manifest
from dr.schedules.workloads import beside_the_service, cron_job, deployment

OVERLAYS: Mapping[str, tuple[str, ...]] = {
    "service": ("service", "upkeep"),
    "cronjobs": ("cronjobs", "upkeep"),
    "both": ("service", "cronjobs", "upkeep"),
}
"""Components of each overlay. `both`: CronJobs find done what the service did, and go on when it does not run."""
_WHY = {
    "service": "The service follows what changes and captures the rest in time; CronJobs prune, verify and drill.",
    "cronjobs": "CronJobs alone. Rows that are captured as they change are then caught up once a pack: no RPO of 0.",
    "both": "The service, and CronJobs that find their slots done: they go on when the service does not run.",
}
_MARK = "# Rendered by `dr schedules render`: change the strategy, or patch it in an overlay.\n"
_HOME = "dr-system"


@dataclass(frozen=True, slots=True)
class Order:
    """What to render. `config`: the files of the ConfigMap by name (`dr.yaml`, `strategy.yaml`, `ca.pem`)."""

    strategy: Strategy
    schedules: Sequence[Schedule]
    scenarios: Sequence[Scenario]
    config: Mapping[str, str]
    cluster: Cluster = field(default_factory=Cluster)


def jobs_of(order: Order, component: str) -> tuple[Job, ...]:
    """CronJobs of a component of the kustomization."""
    if component == "cronjobs":
        return capture_jobs(order.strategy, order.schedules)
    return upkeep_jobs(order.strategy, order.scenarios) if component == "upkeep" else ()


# --- a directory -----------------------------------------------------------------------------------------------------


def files(order: Order) -> dict[str, str]:
    """Text by path below the directory. Overlays of one's own (`overlays/production`) stand beside these, untouched."""
    found = {f"base/{name}": text for name, text in _base(order).items()}
    for component in ("service", "cronjobs", "upkeep"):
        found |= {f"components/{component}/{name}": text for name, text in _component(order, component).items()}
    found["components/tainted-pool/kustomization.yaml"] = _static("tainted-pool.yaml")
    return found | {f"overlays/{name}/kustomization.yaml": _overlay(name) for name in OVERLAYS}


def _base(order: Order) -> dict[str, str]:
    cluster = order.cluster
    config = "".join(f"      - {name}\n" for name in sorted(order.config))
    kustomization = _static("base.yaml").partition("      - dr.yaml\n")[0] + config
    return {
        "kustomization.yaml": kustomization.replace(_HOME, cluster.namespace),
        "namespace.yaml": _text([namespace(cluster)]),
        "service-accounts.yaml": _text(service_accounts(cluster)),
        "rbac.yaml": _text(rights(cluster, order.strategy.sources())),
        "network-policy.yaml": _static("network-policy.yaml").replace(_HOME, cluster.namespace),
        **order.config,
    }


def _component(order: Order, component: str) -> dict[str, str]:
    if component == "service":
        texts = {
            "deployment.yaml": _text([deployment(order.cluster)]),
            "service.yaml": _text(beside_the_service(order.cluster)),
        }
    else:
        texts = {"cronjobs.yaml": _jobs_text(order, component)}
    listed = "".join(f"  - {name}\n" for name in sorted(texts))
    head = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources:\n"
    return {"kustomization.yaml": head + listed, **texts}


def _jobs_text(order: Order, component: str) -> str:
    parts = [f"---\n# {job.why}\n{_dump(cron_job(order.cluster, job))}" for job in jobs_of(order, component)]
    return _MARK + "".join(parts)


def _overlay(name: str) -> str:
    components = "".join(f"  - ../../components/{component}\n" for component in OVERLAYS[name])
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    return f"# {_WHY[name]}\n{head}resources:\n  - ../../base\ncomponents:\n{components}"


def _static(name: str) -> str:
    return (resources.files("dr.schedules") / "static" / name).read_text(encoding="utf-8")


# --- flat ------------------------------------------------------------------------------------------------------------


def manifests(order: Order, overlay: str) -> tuple[Manifest, ...]:
    """Everything of one overlay, in an order that `kubectl apply -f -` can take."""
    cluster = order.cluster
    policy = yaml.safe_load(_static("network-policy.yaml").replace(_HOME, cluster.namespace))
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG, "namespace": cluster.namespace},
        "data": dict(sorted(order.config.items())),
    }
    found = [namespace(cluster), *service_accounts(cluster), *rights(cluster, order.strategy.sources()), policy, config]
    for component in OVERLAYS[overlay]:
        if component == "service":
            found += [deployment(cluster), *beside_the_service(cluster)]
        found += [cron_job(cluster, job) for job in jobs_of(order, component)]
    return tuple(found)


def flat(order: Order, overlay: str) -> str:
    """`manifests` as one YAML stream."""
    return _text(manifests(order, overlay))


def namespace(cluster: Cluster) -> Manifest:
    """Pods that are not `restricted` are refused in it."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    labels = {"app.kubernetes.io/name": "dr", **levels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace, "labels": labels}}


class _Dumper(yaml.SafeDumper):
    """No anchors: what is said twice is written twice; text of several lines as a block."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _str)


def _dump(manifest: Manifest) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120)


def _text(found: Iterable[Manifest]) -> str:
    return _MARK + "---\n".join(map(_dump, found))
