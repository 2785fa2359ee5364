"""What the target really holds, under source-side names, and whether that is what the log says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dr.components.config.access import NAMESPACE_KIND
from dr.components.config.applying import Applying, names_in
from dr.components.config.comparing import compared, differences
from dr.components.config.deciding import newer
from dr.components.config.living import content_digest, resources_of
from dr.components.config.normal import Plain
from dr.components.config.state import ObjectKey
from dr.errors import DrError
from dr.model.listing import first
from dr.model.points import Check
from dr.ports import Json, RestoredItem
from dr.vendors.kubernetes_objects import Resource, mapping, sequence, text

_NAMED = 10
_REPLICAS = "spec.replicas"
_PODS = Resource("", "v1", "pods")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one restore that was applied."""

    applying: Applying

    def contents(self) -> Iterator[RestoredItem]:
        """Read back from the target. What containment changed is read as it was, if it is just as containment made it; what
        containment held back is the server's answer to a dry run of it."""
        source_side = {self.applying.form.place(key): key for key in self.applying.wanted}
        for there, plain in self._living().items():
            key = source_side.get(there)
            if key is None or not self.applying.form.held_back(key):
                yield RestoredItem(str(key or self._back(there)), self._digest(key, plain))
        for key in self._held_back():
            if (answer := self._dry_run(key)) is not None:
                yield RestoredItem(str(key), self._digest(key, answer))

    def checks(self, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        contained = self.applying.form.names.isolated
        return (
            self._equal(outcomes),
            *((self._tried(), self._nothing_runs()) if contained else (self._left(outcomes), self._newer(outcomes))),
        )

    # --- reading

    def _living(self) -> dict[ObjectKey, Plain]:
        return self.applying.living.normal(self._resources().values())

    def _resources(self) -> Mapping[str, Resource]:
        applying = self.applying
        kinds = [str(kind) for kind in sequence(applying.work.item.details, "kinds")]
        return resources_of(applying.wanted, applying.api.served(), kinds)

    def _back(self, there: ObjectKey) -> ObjectKey:
        """The source-side name of something that the log does not know."""
        back = {target: source for source, target in self.applying.form.names.namespaces.items()}
        return ObjectKey(back.get(there.namespace, there.namespace), there.kind, there.name)

    def _digest(self, key: ObjectKey | None, found: Plain) -> str:
        if key is None:
            return content_digest(found)
        wanted = self.applying.wanted[key]
        unlike = compared(self.applying.form.body(key, wanted), found, lenient=True)
        if self.applying.form.held_back(key) and key.kind == NAMESPACE_KIND:
            # asked of the namespace that contains the copy, which has labels of its own
            unlike = tuple(one for one in unlike if one.wanted is not None)
        return content_digest(found if unlike else wanted)

    def _held_back(self) -> tuple[ObjectKey, ...]:
        return tuple(key for key in sorted(self.applying.wanted) if self.applying.form.held_back(key))

    def _dry_run(self, key: ObjectKey) -> Plain | None:
        """None when the server refuses it."""
        try:
            return self.applying.dry_run(key, self.applying.form.body(key, self.applying.wanted[key]))
        except DrError as error:
            if error.temporary:
                raise
            return None

    # --- checks

    def _equal(self, outcomes: Mapping[str, Json]) -> Check:
        """Every object that was to be written."""
        form, living, left = self.applying.form, self._living(), names_in(outcomes, "left")
        keys = [key for key in self.applying.wanted if key not in left and not form.held_back(key)]
        wrong = [words for key in keys if (words := self._wrong(key, living.get(form.place(key))))]
        words = f"{len(keys) - len(wrong)} of {len(keys)} objects are as the log says"
        return Check("objects equal to the log", not wrong, words + _named(wrong))

    def _wrong(self, key: ObjectKey, found: Plain | None) -> str:
        if found is None:
            return f"{key} is missing"
        paths = differences(self.applying.form.body(key, self.applying.wanted[key]), found, lenient=True)
        if key in self._scaled:
            paths = tuple(path for path in paths if path != _REPLICAS)
        return f"{key} differs at {', '.join(paths[:3])}" if paths else ""

    @property
    def _scaled(self) -> frozenset[ObjectKey]:
        """Workloads whose replicas are an autoscaler's business, from the moment that it is back."""
        return scaled(self.applying.wanted)

    def _tried(self) -> Check:
        keys = self._held_back()
        refused = [str(key) for key in keys if self._dry_run(key) is None]
        words = f"{len(keys) - len(refused)} of {len(keys)} accepted by the server and not stored, for they could act"
        return Check("dry runs", not refused, words + _named(refused))

    def _nothing_runs(self) -> Check:
        names = self.applying.form.names
        pods = [there for there in self.applying.living.of(_PODS) if there.namespace in names.targets]
        return Check("nothing runs in the copy", not pods, f"{len(pods)} pods" if pods else "no pod was made")

    def _left(self, outcomes: Mapping[str, Json]) -> Check:
        left = names_in(outcomes, "left")
        words = [f"{key} ({why})" for key, why in sorted(left.items())]
        return Check("left as they live", True, f"{len(left)}{_named(words)}" if left else "nothing")

    def _newer(self, outcomes: Mapping[str, Json]) -> Check:
        """What is there and was not at the instant."""
        deletes = self.applying.rules.deletes_newer
        found = newer({self.applying.form.place(key) for key in self.applying.wanted}, self._living())
        if not found:
            deleted = sequence(outcomes.get("newer", {}), "deleted")
            return Check("newer than the instant", True, f"{len(deleted)} deleted" if deleted else "nothing")
        words = f"{len(found)} stay{_named(list(map(str, found)))}"
        return Check("newer than the instant", not deletes, words)


def scaled(wanted: Mapping[ObjectKey, Plain]) -> frozenset[ObjectKey]:
    """Workloads that an autoscaler of the state aims at. Pure."""
    plurals = {"Deployment": "deployments.apps", "StatefulSet": "statefulsets.apps"}
    aims = [
        (key.namespace, mapping(body, "spec", "scaleTargetRef"))
        for key, body in wanted.items()
        if key.kind.startswith("horizontalpodautoscalers.")
    ]
    found = ((space, plurals.get(text(aim, "kind")), text(aim, "name")) for space, aim in aims)
    return frozenset(ObjectKey(space, plural, name) for space, plural, name in found if plural)


def _named(names: list[str]) -> str:
    return f": {first(names, _NAMED)}" if names else ""
