"""Objects written into the target, group by group, by server-side apply; each step may be repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

from dr.changelog.seal import Sealer
from dr.components.config.access import ConfigApi
from dr.components.config.comparing import patch_between
from dr.components.config.deciding import Act, Rules
from dr.components.config.living import Living, resources_of
from dr.components.config.normal import Plain, normalised
from dr.components.config.ordering import GROUPS, batches, group_of
from dr.components.config.state import ObjectKey
from dr.components.config.targets import Form
from dr.components.config.wanted import Origin, Wanted, part_of, unsealed
from dr.errors import REJECTED, RESTORE_FAILED, DrError
from dr.ports import Json, RestoreWork, Step, StepContext
from dr.vendors.kubernetes_objects import Resource, mapping, sequence, text, uid_of
from dr.vendors.retry import with_retry

_WRITERS = 8
_NAMED = 5
TRIED, REFUSED = "tried", "refused"
_MADE_ANEW = frozenset(
    {"configmaps", "secrets", "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"}
)
"""Nothing is lost with them when a field that cannot be changed makes it necessary to delete them first."""


@dataclass
class Applying:
    """One restore of one state."""

    api: ConfigApi
    sealer: Sealer | None
    work: RestoreWork

    @cached_property
    def form(self) -> Form:
        return Form.of(self.work)

    @cached_property
    def wanted(self) -> Wanted:
        """The whole state, Secrets opened. Raises DrError before anything is created."""
        work = self.work
        origin = Origin(work.vault, work.item.source, work.manifest, work.item.instant)
        return part_of(unsealed(self.sealer, work.item.source, origin.state()), work.item)

    @cached_property
    def rules(self) -> Rules:
        item = self.work.item
        lost = [str(name) for name in sequence(item.details, "lost")]
        return Rules.of(item.target, item.source.name, lost)

    @property
    def living(self) -> Living:
        whole = not self.form.names.isolated and not self.work.item.target.scope
        return Living(self.api, self.form.names.targets, whole)

    # --- steps

    def steps(self) -> Sequence[Step]:
        return tuple(Step(step_of(name), partial(self.group, name)) for name in GROUPS)

    def read(self, context: StepContext) -> Json:
        """Everything is read and opened before anything is made."""
        counts = Counter(key.kind for key in self.wanted)
        return {"objects": len(self.wanted), "kinds": dict(sorted(counts.items()))}

    def group(self, name: str, context: StepContext) -> Json:
        """All kinds of one step. What the server refuses is journalled; `settle` has the last word."""
        mine = {key: body for key, body in self.wanted.items() if group_of(key.kind) == name}
        done: list[Written] = []
        for kind in batches([key.kind for key in mine]):
            done += self._kind({key: body for key, body in mine.items() if key.kind == kind}, context)
        return journalled(done)

    def _kind(self, mine: Wanted, context: StepContext) -> list[Written]:
        resource = next(iter(resources_of(mine, {}).values()))
        living = {} if all(map(self.form.held_back, mine)) else self.living.normal([resource])
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="config-apply") as pool:
            done = list(pool.map(lambda key: self._one(key, mine[key], living), sorted(mine)))
        context.progress(len(done), len(self.wanted), "objects")
        return done

    def _one(self, key: ObjectKey, wanted: Plain, living: Mapping[ObjectKey, Plain]) -> Written:
        there, body = self.form.place(key), self.form.body(key, wanted)
        if self.form.held_back(key):
            return self._attempt(key, partial(self.dry_run, key, body), TRIED)
        decision = self.rules.decide(key, body, living.get(there))
        if decision.act in (Act.SAME, Act.LEAVE):
            return Written(key, decision.act, decision.why)
        return self._attempt(key, partial(self._write, key, body), decision.act)

    def _attempt(self, key: ObjectKey, write: Callable[[], object], act: str) -> Written:
        try:
            write()
        except DrError as error:
            if error.temporary:
                raise
            return Written(key, REFUSED, error.message)
        return Written(key, act, "")

    # --- writes

    def dry_run(self, key: ObjectKey, body: Plain) -> Plain:
        """The server's answer to what is not stored, normalised."""
        there, resource = self.form.place(key), key.resource(body)
        return normalised(key.kind, self._apply(resource, body, there, dry_run=True))

    def _write(self, key: ObjectKey, body: Plain) -> None:
        there, resource = self.form.place(key), key.resource(body)
        try:
            applied = self._apply(resource, body, there)
        except DrError as error:
            if error.kind is not REJECTED:
                raise
            applied = self._otherwise(resource, body, there, error)
        # what other managers added stays after an apply: it was not there at the instant
        if patch := patch_between(normalised(key.kind, applied), body):
            with_retry(lambda: self.api.patch(resource, there.name, patch, there.namespace), what=f"patch {there}")

    def _apply(
        self, resource: Resource, body: Plain, there: ObjectKey, *, dry_run: bool = False
    ) -> Mapping[str, object]:
        return with_retry(
            lambda: self.api.apply(resource, body, there.namespace, dry_run=dry_run), what=f"apply {there}"
        )

    def _otherwise(self, resource: Resource, body: Plain, there: ObjectKey, error: DrError) -> Mapping[str, object]:
        """Apply refuses lists with entries of one name, which a plain creation takes; and some fields never change."""
        found = self.api.get(resource, there.name, there.namespace)
        if found is None:
            return self.api.create(resource, body, there.namespace)
        if there.kind not in _MADE_ANEW:
            raise error
        self.api.delete(resource, there.name, there.namespace, uid=uid_of(found))
        return self._apply(resource, body, there)

    # --- the end

    def settle(self, context: StepContext) -> Json:
        """What was refused is tried once more: what it needed may be there by now. Raises DrError RESTORE_FAILED naming it."""
        refused = [text(one, "key") for name in GROUPS for one in sequence(context.outcome(step_of(name)), "refused")]
        keys = [ObjectKey.parse(key) for key in refused]
        again = [self._one(key, self.wanted[key], {}) for key in keys if not self.form.held_back(key)]
        left = [f"{one.key}: {one.why}" for one in again if one.act == REFUSED]
        if left:
            more = f"; and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            raise DrError(RESTORE_FAILED, f"the API server refuses {'; '.join(left[:_NAMED])}{more}")
        return {"again": len(again)}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one object: an `Act`, or `tried` (a dry run), or `refused`; with the reason, where there is one."""

    key: ObjectKey
    act: str
    why: str


def step_of(group: str) -> str:
    return f"apply-{group}"


def journalled(done: Sequence[Written]) -> Json:
    """Names only of what was left or refused; the rest is counted."""
    counts = Counter(str(one.act) for one in done)
    named = {
        act: [{"key": str(one.key), "why": one.why} for one in done if one.act == act] for act in (Act.LEAVE, REFUSED)
    }
    return {"counts": dict(sorted(counts.items())), "left": named[Act.LEAVE], "refused": named[REFUSED]}


def names_in(outcomes: Mapping[str, Json], field: str) -> dict[ObjectKey, str]:
    """Key -> why, of all groups."""
    found: dict[ObjectKey, str] = {}
    for name in GROUPS:
        for one in sequence(mapping(outcomes, step_of(name)), field):
            found[ObjectKey.parse(text(one, "key"))] = text(one, "why")
    return found
