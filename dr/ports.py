"""What the core needs from the outside world. Adapters live in `vendors/`, `stores/`, `record/` and `components/`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from dr.model.graph import StepKind
from dr.model.ids import Slot, SourceId
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Artefact, Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain, SourceSpec

Json = Mapping[str, object]
"""JSON-like: str, int, float, bool, None, and lists and mappings of them."""


class Clock(Protocol):
    """The only way to know the time; decisions take `now` as an argument instead."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def stamp(self) -> Stamp: ...

    def sleep(self, seconds: float) -> None: ...


# --- objects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object. `crc32c` is base64 of the big-endian checksum."""

    name: str
    size: int
    crc32c: str
    generation: int
    created: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    retain_until: datetime | None = None
    held: bool = False
    """Under a hold of the store: neither deleted nor replaced, however old, until the hold is taken off."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Result of a streamed write: the object and the SHA-256 (hex) of the bytes that were sent."""

    info: ObjectInfo
    sha256: str


class ObjectStore(Protocol):
    """A place for objects, `gs://bucket/prefix` or `file:///dir`. Names are relative to it, `/`-separated.

    Errors: DrError of kind NOT_FOUND, CONFLICT (a precondition failed and what is stored differs), NOT_AUTHORISED,
    RETENTION_REFUSED, DAMAGED (bytes do not match their checksum), UNREACHABLE/UNAVAILABLE (temporary, already
    retried). Held to `tests/contract/object_store.py`.
    """

    @property
    def url(self) -> str: ...

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Write durably. `if_generation=0`: create only; None: unconditional. On a failed precondition, equal stored
        content counts as success (a lost acknowledgement looks like a conflict), else CONFLICT."""
        ...

    def put_stream(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        if_generation: int | None = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        """As `put`, in bounded memory; checksummed end to end; nothing is visible until all is written."""
        ...

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        """Whole content, checked against the stored crc32c (DAMAGED when it differs or is short)."""
        ...

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        """Content in chunks, bounded memory; raises DAMAGED at the end when crc32c or length differ."""
        ...

    def stat(self, name: str) -> ObjectInfo | None: ...

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose name starts with `prefix`, in name order, names greater than `start_after` only."""
        ...

    def delete(self, name: str, *, generation: int) -> None:
        """Delete that generation. RETENTION_REFUSED when a lock or hold forbids it; NOT_FOUND when it is gone."""
        ...

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        """Lock against deletion and replacement until then. Extends, never shortens (RETENTION_REFUSED)."""
        ...

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        """Put a hold on that generation, or take it off; either may stand already. Independent of `retain`. NOT_FOUND when
        it is gone."""
        ...

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Those of `wanted` (`storage.objects.create`...) that the caller lacks."""
        ...

    def server_time(self) -> datetime | None:
        """The store's clock, to compare with ours; None where it has none of its own."""
        ...


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """What a bucket says of itself."""

    location: str
    object_retention: bool
    """Whether single objects in it can be locked."""
    retention_s: int = 0
    """Of the bucket's own policy, which binds every object in it; 0: it has none."""
    versioned: bool = False


@runtime_checkable
class Described(Protocol):
    """A store that knows where it stands: a bucket does, a directory does not."""

    def describe(self) -> PlaceFacts:
        """Raises DrError NOT_FOUND, NOT_AUTHORISED, UNREACHABLE."""
        ...


# --- steps ---------------------------------------------------------------------------------------------------------


class StepContext(Protocol):
    """What a step sees while it runs."""

    @property
    def attempt(self) -> int:
        """Epoch at which this attempt began. All names of effects derive from (unit, attempt): a takeover of a crashed
        run continues the attempt and finds them, a retry after a failure starts a new one."""
        ...

    @property
    def clock(self) -> Clock: ...

    def outcome(self, step: str) -> Json:
        """What an earlier step of this attempt journalled. KeyError if it has not run (a bug)."""
        ...

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """For progress bars and the liveness of the claim (renews it); cheap to call often. Raises DrError FENCED when another
        owner took the unit over."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One journalled step. `run` must be safe to call again after a crash at any moment (I4, I6): it first asks whether its
    effect, under its derived name, is there already. Its result is JSON-like and is all that later steps get."""

    name: str
    run: Callable[[StepContext], Json]
    after: tuple[str, ...] = ()
    """Components whose whole restore in the same plan must be done first."""
    kind: StepKind = StepKind.WRITE
    size: int = 0
    """Bytes that its duration grows with, for predictions; 0: it does not."""
    beside: bool = False
    """May run beside the step before it: it needs only what that one needs, and the step after both needs both."""


# --- capture -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a living source says of itself, gathered before deciding."""

    source: SourceId
    observed: datetime
    coverage: Coverage | None = None
    size: int | None = None
    items: int | None = None
    capture_cost_usd: float = 0.0
    """Estimate of one full capture."""
    cost_arithmetic: str = ""
    """The sum in words: "1,200 documents x 0.30 $/M reads"."""
    details: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a capture staged in the vault; becomes a manifest once inspected, verified and locked."""

    method: str
    as_of: datetime
    artefacts: tuple[Artefact, ...]
    """`sha256` and `records` may still be empty/None when nobody of ours wrote the bytes (a Firestore export)."""
    counts: Mapping[str, int]
    """What the producer claims (`items`, `documents`): the inspection must find the same."""
    details: Json
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a fresh reader found in the vault."""

    artefacts: tuple[Artefact, ...]
    """In the draft's order, every field computed anew from the bytes read."""
    counts: Mapping[str, int]
    checks: tuple[Check, ...]
    """A failed check names the artefact or item. An artefact that cannot be read or decoded is a failed check, not an exception."""


class Source(Protocol):
    """One protected source: how it is observed and captured."""

    @property
    def spec(self) -> SourceSpec: ...

    def observe(self) -> SourceFacts:
        """Raises DrError (UNREACHABLE, NOT_AUTHORISED, NOT_FOUND)."""
        ...

    def check(self) -> tuple[Check, ...]:
        """For `dr check`: permissions, protection settings, versions. One entry per thing looked at."""
        ...

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        """The recipe; its steps stage artefacts under `data/<slot id>/<attempt>/` of the vault."""
        ...

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        """From the outcomes of the recipe's steps, by step name. Pure."""
        ...


class Inspector(Protocol):
    """Reads the artefacts of one method back: used before commit, by `dr points verify`, and before every restore."""

    @property
    def method(self) -> str: ...

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection: ...


# --- restore -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RestoredItem:
    """One restored document or object, under its source-side name, with the hash of its canonical content."""

    path: str
    sha256: str
    updated: datetime | None = None
    """Its own last-change time where the copy keeps one."""


@dataclass(frozen=True, slots=True)
class RestoreWork:
    """All that a restorer needs for one item of a plan."""

    plan_id: str
    item: PlannedRestore
    manifest: PointManifest | None
    vault: ObjectStore
    siblings: Mapping[str, str] = field(default_factory=dict)
    """What other items of the plan restore: `appdata.database` -> id of the new database; known from the plan."""


class Restorer(Protocol):
    """Brings one source back by one method. A drill and a real restore differ only in the target."""

    @property
    def method(self) -> str: ...

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        """Reads only. Says what would be created, from what, at what cost. Raises DrError TARGET_EXISTS, TARGET_PROTECTED."""
        ...

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        """Until the restored thing serves and its own health passes."""
        ...

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        """What the restored copy really holds, read back from the target, for the witness to be compared with."""
        ...

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Counts and health against the manifest and the target, each naming what differs."""
        ...

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Delete only what this work's journal says it created (matching uid and prefix); a check for each, failed if left."""
        ...


@runtime_checkable
class Reviewing(Protocol):
    """A restorer that can say what its work would do to the living world."""

    def review(self, work: RestoreWork) -> Review:
        """Reads vault and target only. Raises DrError as `outline`."""
        ...


@runtime_checkable
class Guarded(Protocol):
    """A restorer that can prove that a contained restore reached nothing outside of its copy."""

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        """Reads target and production, before the teardown; a failed check names what was reached. None for what was not begun."""
        ...


# --- over living data ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Salvaged:
    """Something that was written after the restored instant. `why`: `changed` since, `newer` (made since), `deleted` since;
    `sha256` of what the undo point holds of it, empty when that is nothing."""

    path: str
    why: str
    sha256: str


class LiveGuard(Protocol):
    """What is particular to one component when a restore goes over what lives (`dr.run.overlive`)."""

    def prepare(self, spec: SourceSpec, planned: PlannedRestore) -> tuple[Json, tuple[str, ...]]:
        """When it is planned: details to add to the item, and words for whoever reviews it. Raises DrError."""
        ...

    def survey(self, work: RestoreWork) -> Json:
        """What stands before anything is touched, journalled: `living` (whether there is anything to keep), and who writes."""
        ...

    def fence(self, work: RestoreWork, context: StepContext) -> Json:
        """Stop those writers, and wait until none is left. Raises DrError RESTORE_FAILED naming who still writes."""
        ...

    def settled(self, work: RestoreWork, fenced: datetime) -> datetime:
        """From when on a capture holds all that was written until `fenced`."""
        ...

    def around(self, work: RestoreWork, apply: Sequence[Step], keep: Step, prove: Step) -> Sequence[Step]:
        """The restorer's own steps, with the steps that list what is salvaged and that check the result where they belong, and
        what else the component needs (a cut-over)."""
        ...

    def salvage(self, work: RestoreWork, undo: PointManifest | None) -> Iterator[Salvaged]:
        """What was written after the restored instant, against the undo point. None: there is none."""
        ...

    def release(self, work: RestoreWork, context: StepContext) -> Json:
        """Let the writers write again, if nothing before did. Safe to repeat."""
        ...


# --- continuous capture --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """What a follower tells while it works, for metrics and logs. `kind` is one word: `durable`, `relisted`, `quarantined`,
    `reconnected`; `count` things happened; `lag_s` is change to durable of the slowest of them."""

    source: SourceId
    kind: str
    count: int = 1
    lag_s: float | None = None
    detail: str = ""


class Follower(Protocol):
    """Captures one source continuously into its change log. Run by the leader of `dr run`."""

    def follow(self, vault: ObjectStore, stop: Callable[[], bool], notice: Callable[[Notice], None]) -> None:
        """Blocks until `stop()`; what it had taken by then is durable. Reconnects after temporary errors by itself.
        Raises DrError FENCED when another writer continued the log, and every error that a repetition will not mend."""
        ...

    def catch_up(self, vault: ObjectStore, stop: Callable[[], bool]) -> datetime:
        """For one-shot runs: all that happened before the call is durable when it returns; the log's watermark. Leaves the
        writing to a living follower, if there is one, and waits for it. Raises DrError."""
        ...


class KeyWrapper(Protocol):
    """A key encryption key: Cloud KMS, or a local key file. `name` is stored beside what it wrapped."""

    @property
    def name(self) -> str: ...

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a data key, bound to `context`. Raises DrError NOT_AUTHORISED, UNREACHABLE, NOT_FOUND."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Raises DrError DAMAGED when it was not wrapped by this key for this context; as `wrap`."""
        ...


class Signer(Protocol):
    """A private key that signs evidence: a version of a Cloud KMS key, or a key file. `name` says which."""

    @property
    def name(self) -> str: ...

    def public_key(self) -> str:
        """PEM; verifies the signatures without any cloud. Raises DrError NOT_AUTHORISED, UNREACHABLE, NOT_FOUND, CONFIGURATION."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A DER-encoded ECDSA signature over the SHA-256 of `data`. Raises DrError as `public_key`."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What replicas compete for. `holder` empty: released."""

    holder: str
    duration: timedelta
    """Whoever sees no renewal for so long may take it."""
    renewed: datetime | None
    """For people: replicas do not compare their clocks."""
    transitions: int = 0
    version: str = ""
    """Of the stored object; empty: there is none yet."""


class LeaseStore(Protocol):
    """Where a Lease is kept, with an order of its versions."""

    def read(self) -> LeaseRecord | None:
        """Raises DrError UNREACHABLE, UNAVAILABLE, NOT_AUTHORISED."""
        ...

    def write(self, lease: LeaseRecord) -> LeaseRecord:
        """As stored. Raises DrError CONFLICT when another version stands than the lease's; and as `read`."""
        ...


class Leader(Protocol):
    """Who of several replicas does the work."""

    def hold(self, stop: Callable[[], bool]) -> None:
        """Block until this replica leads, or `stop()`."""
        ...

    def leads(self) -> bool:
        """Surely still the leader, by a clock that goes on while the process is stopped."""
        ...

    def release(self) -> None: ...


class Observer(Protocol):
    """Hears what the service does, for metrics and health. Called from several threads; quick, and never raises."""

    def looked(self, now: datetime) -> None:
        """What is due was decided."""
        ...

    def captured(self, source: SourceId, result: str, seconds: float, code: str) -> None:
        """A capture ended: `committed`, `already`, `failed`, `locked`, `parked`; `code` of the error, if any."""
        ...

    def noticed(self, notice: Notice) -> None: ...

    def led(self, leading: bool) -> None:
        """This replica began or ceased to lead."""
        ...

    def troubled(self, code: str) -> None:
        """What is due could not be decided, or following a source ended, by an error of that code."""
        ...


class Notifier(Protocol):
    """Tells people. A failure to tell shows in metrics and logs, and never stops a backup."""

    def send(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> None:
        """Raises DrError UNREACHABLE, NOT_AUTHORISED after retries."""
        ...


class LivingWitness(Protocol):
    """Reads the living source as it was at an instant, when no writer's record is at hand."""

    def read(self, spec: SourceSpec, at: datetime) -> Iterator[RestoredItem]: ...


class Remembering(Protocol):
    """A living source that also knows what it held before, for as long as it keeps its history."""

    def recall(self, spec: SourceSpec, paths: Collection[str], at: datetime) -> Mapping[str, str] | None:
        """path -> hash of the content, of those of `paths` that stood at `at`. None: it does not remember that instant. Raises
        DrError."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """One event of a running step, for bars and JSON lines."""

    unit: str
    step: str
    state: str
    """`started`, `advanced`, `done`, `failed`."""
    done: float = 0.0
    total: float | None = None
    measure: str = ""
    elapsed: timedelta = timedelta(0)


Listener = Callable[[Progress], None]
