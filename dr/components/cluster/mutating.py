"""Faults for copies of a Velero backup: objects that are others, or none, in an archive whose lists and sums fit."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dr.components.cluster.comparing import MADE_BY_CLUSTER
from dr.components.cluster.contents import Item, read_items
from dr.components.planting import CLAIM, Forgery, Subject, Unsuitable, by_role, swapped
from dr.components.planting_objects import Body, first_container, give_rights_to_another
from dr.model.mutations import Edit
from dr.vendors.kubernetes_objects import text

CONTENTS, LIST, BACKUP, VOLUMES = "velero/contents", "velero/resource-list", "velero/backup", "velero/volumeinfo"


def parts(subject: Subject) -> Mapping[str, str]:
    """One object of each role."""
    return {role: one.name for role, one in by_role(subject.point).items()}


def forgeries(subject: Subject) -> Sequence[Forgery]:
    return (
        Forgery("value-changed", "one key of a ConfigMap has another value", _value),
        Forgery("secret-changed", "one key of a Secret has another value", _secret),
        Forgery("environment-changed", "a Deployment runs with one variable more", _environment),
        Forgery("rights-changed", "a role binding names another subject", _rights),
        Forgery("service-changed", "a Service selects other Pods", _service),
        Forgery("tenants-swapped", "two tenants have each other's ConfigMap", _tenants),
        Forgery("object-missing", "one ConfigMap is gone from archive and list", _object_missing),
        Forgery("secret-missing", "one Secret is gone from archive and list", _secret_missing),
        Forgery("namespace-missing", "a whole namespace is gone from archive and list", _namespace_missing),
        Forgery("no-items", "Completed without contents: archive and list are empty, and counted rightly", _nothing),
        Forgery("item-twice", "one object is in the archive twice", _twice),
        Forgery(
            "no-archive", "Completed without contents: the archive is gone, and the manifest names none", _no_archive
        ),
        Forgery("partially-failed", "the backup's own record says PartiallyFailed", _phase),
        Forgery("other-backup", "the backup's own record is of another backup", _uid),
        Forgery("points-swapped", "the artefacts are those of the point before", _other_point),
        Forgery("archives-swapped", "only archive and list are those of the point before", _other_archive),
        Forgery("stale-date", "the manifest says that the data are as new as now", _stale),
    )


Member = tuple[tarfile.TarInfo, bytes]


@dataclass
class _Archive:
    """Contents and list of one backup, opened."""

    subject: Subject
    members: list[Member]
    listed: dict[str, list[str]]

    @classmethod
    def of(cls, subject: Subject) -> _Archive:
        raw = subject.read(subject.artefact(CONTENTS).name)
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw))) as tar:
            members = [(info, file.read() if (file := tar.extractfile(info)) else b"") for info in tar.getmembers()]
        listed = json.loads(gzip.decompress(subject.read(subject.artefact(LIST).name)))
        return cls(subject, members, listed)

    def items(self, resource: str) -> list[Item]:
        """Those that a living source can tell of. Raises Unsuitable when there is none."""
        raw = self.subject.read(self.subject.artefact(CONTENTS).name)
        found = [item for item in read_items([raw]) if item.resource == resource and item.name != MADE_BY_CLUSTER]
        settled = [item for item in found if self.subject.unchanged(_named(item))]
        if not settled:
            raise Unsuitable(f"the backup holds no {resource}" + (" that did not change since" if found else ""))
        return settled

    def replace(self, item: Item, body: Body) -> None:
        """Every copy of one object."""
        data = json.dumps(body, separators=(",", ":")).encode()
        self.members = [self._with(member, data) if _is(member, item) else member for member in self.members]

    def _with(self, member: Member, data: bytes) -> Member:
        info = member[0]
        info.size = len(data)
        return info, data

    def drop(self, fits: Callable[[Item], bool]) -> list[Item]:
        """From archive and list."""
        raw = self.subject.read(self.subject.artefact(CONTENTS).name)
        gone = [item for item in read_items([raw]) if fits(item)]
        self.members = [member for member in self.members if not any(_is(member, item) for item in gone)]
        for item in gone:
            self.listed[item.kind] = [entry for entry in self.listed.get(item.kind, []) if entry != item.entry]
        self.listed = {kind: entries for kind, entries in self.listed.items() if entries}
        return gone

    def edit(self, hit: Sequence[str]) -> Edit:
        files: dict[str, bytes | None] = {
            self.subject.artefact(CONTENTS).name: self._packed(),
            self.subject.artefact(LIST).name: gzip.compress(json.dumps(self.listed).encode(), mtime=0),
        }
        return Edit(files, tuple(hit))

    def _packed(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for info, data in self.members:
                tar.addfile(info, io.BytesIO(data))
        return gzip.compress(buffer.getvalue(), mtime=0)


def _is(member: Member, item: Item) -> bool:
    """A member that carries the object, under whatever version."""
    where = f"namespaces/{item.namespace}" if item.namespace else "cluster"
    path = member[0].name
    return path.startswith(f"resources/{item.resource}/") and path.endswith(f"/{where}/{item.name}.json")


def _named(item: Item) -> str:
    """As a finding names it."""
    kind = text(item.body, "kind")
    return f"{item.namespace}/{kind}/{item.name}" if item.namespace else f"{kind}/{item.name}"


def _changed(subject: Subject, rng: Random, resource: str, change: Callable[[Body], bool]) -> Edit:
    archive = _Archive.of(subject)
    items = archive.items(resource)
    rng.shuffle(items)
    for item in items:
        body = json.loads(json.dumps(item.body))
        if change(body):
            archive.replace(item, body)
            return archive.edit([_named(item)])
    raise Unsuitable(f"no {resource} has anything that could be changed so")


def _first_value(body: Body, value: str) -> bool:
    data = body.get("data") or {}
    for name in sorted(data)[:1]:
        data[name] = value
    return bool(data)


def _value(subject: Subject, rng: Random) -> Edit:
    return _changed(subject, rng, "configmaps", lambda body: _first_value(body, "changed in the backup"))


def _secret(subject: Subject, rng: Random) -> Edit:
    return _changed(subject, rng, "secrets", lambda body: _first_value(body, "Y2hhbmdlZA=="))


def _environment(subject: Subject, rng: Random) -> Edit:
    """Another image would not start, and the drill would fail for that."""

    def change(body: Body) -> bool:
        container = first_container(body)
        if container is not None:
            container["env"] = [*(container.get("env") or []), {"name": "CHANGED_IN_THE_BACKUP", "value": "1"}]
        return container is not None

    return _changed(subject, rng, "deployments.apps", change)


def _rights(subject: Subject, rng: Random) -> Edit:
    return _changed(subject, rng, "rolebindings.rbac.authorization.k8s.io", give_rights_to_another)


def _service(subject: Subject, rng: Random) -> Edit:
    def change(body: Body) -> bool:
        selector = body.get("spec", {}).get("selector") or {}
        for name in sorted(selector)[:1]:
            selector[name] = "another"
        return bool(selector)

    return _changed(subject, rng, "services", change)


def _tenants(subject: Subject, rng: Random) -> Edit:
    archive = _Archive.of(subject)
    items = archive.items("configmaps")
    pairs = [
        (one, other)
        for one in items
        for other in items
        if one.namespace < other.namespace and one.name == other.name and one.body.get("data") != other.body.get("data")
    ]
    if not pairs:
        raise Unsuitable("no two namespaces have a ConfigMap of one name with different contents")
    one, other = rng.choice(pairs)
    archive.replace(one, {**one.body, "data": other.body.get("data")})
    archive.replace(other, {**other.body, "data": one.body.get("data")})
    return archive.edit([_named(one), _named(other)])


def _without(subject: Subject, rng: Random, resource: str) -> Edit:
    archive = _Archive.of(subject)
    gone = rng.choice(archive.items(resource))
    archive.drop(lambda item: (item.resource, item.entry) == (gone.resource, gone.entry))
    return archive.edit([_named(gone)])


def _object_missing(subject: Subject, rng: Random) -> Edit:
    return _without(subject, rng, "configmaps")


def _secret_missing(subject: Subject, rng: Random) -> Edit:
    return _without(subject, rng, "secrets")


def _namespace_missing(subject: Subject, rng: Random) -> Edit:
    archive = _Archive.of(subject)
    spaces = sorted({item.namespace for item in archive.items("configmaps")})
    if len(spaces) < 2:
        raise Unsuitable("the backup has one namespace only")
    gone = rng.choice(spaces[1:])
    archive.drop(lambda item: item.namespace == gone or (item.resource == "namespaces" and item.name == gone))
    return archive.edit([f"{gone}/"])


def _nothing(subject: Subject, rng: Random) -> Edit:
    archive = _Archive.of(subject)
    archive.drop(lambda item: True)
    return archive.edit([subject.artefact(CONTENTS).name])


def _twice(subject: Subject, rng: Random) -> Edit:
    archive = _Archive.of(subject)
    item = rng.choice(archive.items("configmaps"))
    place = f"resources/configmaps/namespaces/{item.namespace}/{item.name}.json"
    again = [member for member in archive.members if member[0].name == place]
    archive.members = [*archive.members, *again]
    return archive.edit([str(item)])


def _no_archive(subject: Subject, rng: Random) -> Edit:
    return Edit({subject.artefact(CONTENTS).name: None}, (CONTENTS,))


def _record(subject: Subject, change: Callable[[Body], None]) -> Edit:
    artefact = subject.artefact(BACKUP)
    body = json.loads(subject.read(artefact.name))
    change(body)
    return Edit({artefact.name: json.dumps(body).encode()}, (artefact.name,))


def _phase(subject: Subject, rng: Random) -> Edit:
    return _record(subject, lambda body: body["status"].update(phase="PartiallyFailed"))


def _uid(subject: Subject, rng: Random) -> Edit:
    return _record(subject, lambda body: body["metadata"].update(uid="00000000-0000-4000-8000-000000000000"))


def _other_point(subject: Subject, rng: Random) -> Edit:
    files = swapped(subject)
    return Edit(files, tuple(files))


def _other_archive(subject: Subject, rng: Random) -> Edit:
    files = swapped(subject, (CONTENTS, LIST))
    return Edit(files, tuple(files))


def _stale(subject: Subject, rng: Random) -> Edit:
    return Edit({}, (subject.point.name, *CLAIM), as_of=subject.now)
