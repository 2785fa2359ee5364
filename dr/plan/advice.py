"""What to do about a finding of `dr check`, in one sentence. Each topic is a section of `runbooks/check.md`."""

from __future__ import annotations

from collections.abc import Mapping

from dr.model.findings import Finding, Level

ADVICE: Mapping[str, str] = {
    "permissions": "grant exactly what is missing, to that identity, on that place; take away what is too much",
    "clock": "set this machine's clock (NTP): locks and schedules are promises about time",
    "format": "write format.json once with `dr init --repositories`; a newer format needs a newer dr",
    "locks": "make a new bucket with object retention enabled: it cannot be switched on later for what must not be lost",
    "place": "declare project and location of the vault as they are, and keep them apart from the source's",
    "table": "look at `dr plan`: shorten captures, move the vault, or change the table with who owns it",
    "velero": "see that Velero runs, its location is Available and its version is one that was tested",
    "kubernetes": "see that the API server answers and that the kubeconfig of this identity is right",
    "appdata": "switch on point-in-time recovery and delete protection, and see that Firestore answers",
    "config": "see that each kind is served, may be listed and watched, and that the keys can be used",
    "audit": "see that sink, topic and subscription exist and keep what is not acknowledged for 7 days",
    "source": "see what the source says of itself, and what its row's runbook says",
    "keys": "see that both keys exist, in two regions, enabled, and that this identity may use them",
    "lease": "let the capture identity get, create and update Leases in the service's namespace",
    "receivers": "see that the addresses of notifications and dead-man signal are right and can be reached from here",
    "deployed": "look at the Deployment and the CronJobs: `kubectl -n dr-system get deploy,cronjob,pods`",
    "points": "make a first point (`dr backup`), or find out why there is none: an empty vault restores nothing",
    "late": "what was asked did not answer in time: ask again, then look at the network and the endpoint",
}

_BY_KIND: Mapping[str, str] = {"firestore": "appdata", "kubernetes": "config", "pubsub": "audit"}
_CLUSTER = ("kubernetes", "namespaces")
_RIGHTS = ("permission", "rbac", "lacks")


def topic_of(kind: str, name: str) -> str:
    """The topic of a source's own check: `kind` of the source, `name` of the check."""
    if any(word in name for word in _RIGHTS):
        return "permissions"
    if kind == "velero":
        return "kubernetes" if name in _CLUSTER else "velero"
    return _BY_KIND.get(kind, "source")


def advice(finding: Finding) -> str:
    """Empty for what is fine."""
    return "" if finding.level is Level.OK else ADVICE[finding.topic]


def book(finding: Finding) -> str:
    """As `dr runbook show` takes it."""
    return f"check#{finding.topic}"
