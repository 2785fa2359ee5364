"""The application-data component, wired."""

from __future__ import annotations

from dr.components.appdata.cloning import PitrRestorer
from dr.components.appdata.contents import FirestoreWitness
from dr.components.appdata.cutback import CutBack
from dr.components.appdata.erasing import Erasing
from dr.components.appdata.exporting import ExportRestorer
from dr.components.appdata.guarding import DatabaseGuard
from dr.components.appdata.inspector import FirestoreExportInspector
from dr.components.appdata.source import FirestoreSource
from dr.components.wiring import Kit, Wiring
from dr.vendors.firestore import Firestore
from dr.vendors.firestore_writes import FirestoreDocuments


def kit(wiring: Wiring) -> Kit:
    """Nothing is contacted before the first call."""
    api, clock, open_store = Firestore(wiring.google), wiring.clock, wiring.open_store
    erasing = Erasing(FirestoreDocuments(api), wiring.erasures)
    guard = DatabaseGuard(api, FirestoreDocuments(api), wiring.kubernetes)
    witness = FirestoreWitness(api, clock)
    return Kit(
        source=lambda spec: FirestoreSource(spec, api, clock, open_store),
        inspectors=(FirestoreExportInspector(),),
        restorers=(
            ExportRestorer(api, clock, open_store, erasing=erasing),
            PitrRestorer(api, clock, erasing=erasing),
            CutBack(api),
        ),
        guard=guard,
        witness=witness,
        memory=witness,
        ready=lambda spec: FirestoreSource(spec, api, clock, open_store).ready(),
    )
