"""The cluster component, wired."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address

from dr.components.cluster.access import Velero
from dr.components.cluster.checking import check_ready
from dr.components.cluster.guarding import ClusterGuard
from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.living import LivingCluster
from dr.components.cluster.restorer import VeleroRestorer
from dr.components.cluster.source import VeleroSource
from dr.components.cluster.sweeping import Sweeping
from dr.components.wiring import Kit, Wiring


def kit(wiring: Wiring) -> Kit:
    """Nothing is contacted before the first call."""
    settings = wiring.settings.velero
    velero = Velero(
        kube=wiring.kubernetes(),
        open_bucket=cache(lambda bucket: wiring.open_store(f"gs://{bucket}")),  # keeps its connections
        namespace=settings.namespace,
        location=settings.storage_location,
    )
    return Kit(
        source=lambda spec: VeleroSource(spec, velero, wiring.clock),
        inspectors=(VeleroInspector(),),
        restorers=(
            VeleroRestorer(
                velero, wiring.clock, ledger=wiring.erasures, database_at=_network(wiring.settings.endpoints.firestore)
            ),
        ),
        witness=LivingCluster(velero, wiring.clock),
        sweep=Sweeping(velero, wiring.clock).sweep,
        guard=ClusterGuard(velero),
        ready=lambda spec: check_ready(spec, velero, wiring.clock.now()),
    )


def _network(endpoint: str) -> str:
    """`127.0.0.1:8443` as a rule of a network policy has it; empty for a name, which such a rule cannot know."""
    host, _, port = endpoint.removeprefix("https://").removeprefix("http://").partition(":")
    try:
        return f"{ip_address(host)}/32:{port or 443}"
    except ValueError:
        return ""
