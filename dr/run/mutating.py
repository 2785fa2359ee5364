"""A campaign: what is tried is committed first, each trial is recorded when it was made, a resumed one makes the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dr.errors import NOT_FOUND, DrError
from dr.model.mutations import Campaign, Edit, MutationReport, Trial
from dr.model.points import Artefact, PointManifest
from dr.ports import Inspector, ObjectStore
from dr.record.codec import crc32c, decode, encode, sha256
from dr.record.summary import metadata_of

BASE = "mutations"


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """Under `mutations/<id>/` of the control repository."""

    control: ObjectStore

    def begin(self, campaign: Campaign) -> None:
        self.control.put(f"{BASE}/{campaign.id}/campaign.json", encode(campaign))

    def keep(self, campaign: Campaign, trial: Trial) -> None:
        self.control.put(self._name(campaign, trial.fault), encode(trial))

    def report(self, campaign: Campaign) -> MutationReport:
        """What was tried so far, in the order of the campaign."""
        names = [info.name for info in self.control.list(f"{BASE}/{campaign.id}/trials/")]
        trials = [decode(self.control.get(name), Trial, f"{self.control.url}/{name}") for name in names]
        order = {fault: at for at, fault in enumerate(trial_ids(campaign))}
        return MutationReport(campaign, tuple(sorted(trials, key=lambda one: order.get(one.fault, len(order)))))

    def newest(self) -> Campaign:
        """Raises DrError NOT_FOUND when there is none."""
        ids = [info.name.split("/")[1] for info in self.control.list(f"{BASE}/") if info.name.endswith("campaign.json")]
        if not ids:
            raise DrError(NOT_FOUND, "no campaign has been begun yet", hint="begin one: `dr drill mutate`")
        return self.load(max(ids))

    def load(self, campaign: str) -> Campaign:
        """Raises DrError NOT_FOUND, DAMAGED."""
        name = f"{BASE}/{campaign}/campaign.json"
        if self.control.stat(name) is None:
            raise DrError(NOT_FOUND, f"there is no campaign {campaign!r}")
        return decode(self.control.get(name), Campaign, f"{self.control.url}/{name}")

    def _name(self, campaign: Campaign, fault: str) -> str:
        return f"{BASE}/{campaign.id}/trials/{fault}.json"


def trial_ids(campaign: Campaign) -> Iterator[str]:
    """Clean drills first: where those alarm, a fault that is caught says nothing."""
    for component in campaign.components:
        yield from (clean_id(component, number) for number in range(1, campaign.clean + 1))
    yield from campaign.faults


def clean_id(component: str, number: int) -> str:
    return f"clean-{component}-{number:03d}"


def left_of(report: MutationReport) -> tuple[str, ...]:
    """Trials that were not made yet."""
    made = {trial.fault for trial in report.trials}
    return tuple(fault for fault in trial_ids(report.campaign) if fault not in made)


def forged(
    point: PointManifest, edit: Edit, copy: Callable[[Edit], ObjectStore], inspector: Inspector
) -> tuple[Edit, PointManifest]:
    """The edit with a manifest that fits: sizes, sums, counts and instants are what a fresh reader finds in the copy."""
    kept = tuple(_fitted(one, edit) for one in point.artefacts if edit.files.get(one.name, b"") is not None)
    details = {**point.details, **edit.details}
    found = inspector.inspect(copy(edit), kept, details)
    records = {one.name: one.records for one in found.artefacts}
    manifest = replace(
        point,
        artefacts=tuple(replace(one, records=records.get(one.name, one.records)) for one in kept),
        counts={name: found.counts.get(name, count) for name, count in point.counts.items()},
        details=details,
        as_of=edit.as_of or point.as_of,
        started=max(point.started, edit.as_of or point.started),
        committed=max(point.committed, edit.as_of or point.committed),
    )
    return with_manifest(edit, manifest), manifest


def _fitted(artefact: Artefact, edit: Edit) -> Artefact:
    data = edit.files.get(artefact.name)
    if data is None:
        return artefact
    return replace(artefact, size=len(data), crc32c=crc32c(data), sha256=sha256(data))


def with_manifest(edit: Edit, manifest: PointManifest) -> Edit:
    """The copy holds this manifest, and lists it as it is."""
    files = {**edit.files, manifest.name: encode(manifest)}
    return replace(edit, files=files, metadata={**edit.metadata, manifest.name: metadata_of(manifest)})


def bounded(texts: Sequence[str], count: int = 5, size: int = 1000) -> tuple[str, ...]:
    """For the record: the first few, cut."""
    more = (f"... and {len(texts) - count} more",) if len(texts) > count else ()
    return (*(text[:size] for text in texts[:count]), *more)
