"""The application-data component, wired."""

from __future__ import annotations

from dr.components.appdata.cloning import PitrRestorer
from dr.components.appdata.contents import FirestoreWitness
from dr.components.appdata.exporting import ExportRestorer
from dr.components.appdata.inspector import FirestoreExportInspector
from dr.components.appdata.source import FirestoreSource
from dr.components.wiring import Kit, Wiring
from dr.vendors.firestore import Firestore


def kit(wiring: Wiring) -> Kit:
    """Nothing is contacted before the first call."""
    api, clock, open_store = Firestore(wiring.google), wiring.clock, wiring.open_store
    return Kit(
        source=lambda spec: FirestoreSource(spec, api, clock, open_store),
        inspectors=(FirestoreExportInspector(),),
        restorers=(ExportRestorer(api, clock, open_store), PitrRestorer(api, clock)),
        witness=FirestoreWitness(api, clock),
        ready=lambda spec: FirestoreSource(spec, api, clock, open_store).ready(),
    )
