"""The cluster component, wired."""

from __future__ import annotations

from functools import cache

from dr.components.cluster.access import Velero
from dr.components.cluster.checking import check_ready
from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.living import LivingCluster
from dr.components.cluster.restorer import VeleroRestorer
from dr.components.cluster.source import VeleroSource
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
        restorers=(VeleroRestorer(velero, wiring.clock),),
        witness=LivingCluster(velero, wiring.clock),
        ready=lambda spec: check_ready(spec, velero, wiring.clock.now()),
    )
