"""What a restore of the configuration would do, said before anything is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.changelog.seal import Sealer
from dr.components.cluster.erased import erased_among
from dr.components.cluster.names import Names
from dr.components.cluster.outlining import living_namespaces, refuse_living, refuse_mapped_onto
from dr.components.cluster.scoping import TENANT_LABEL, in_scope, tenants_by_label
from dr.components.config.access import NAMESPACE_KIND, ConfigApi, ConfigOptions
from dr.components.config.deciding import NEWER, Act, Decision, Rules, newer, unknown_names
from dr.components.config.living import Living, resources_of
from dr.components.config.normal import Plain
from dr.components.config.state import ObjectKey
from dr.components.config.targets import Form, spaces_for
from dr.components.config.wanted import Origin, Wanted, unsealed
from dr.errors import NOT_FOUND, DrError
from dr.model.erasure import Erasure
from dr.model.listing import first
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Coverage, PointManifest
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import format_instant, parse_instant
from dr.ports import ObjectStore
from dr.vendors.kubernetes_objects import Resource, mapping, text

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Outlining:
    """Reads vault and target."""

    api: ConfigApi
    sealer: Sealer | None
    vault: ObjectStore
    method: str
    ledger: Sequence[Erasure] = ()

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        """Raises DrError TARGET_EXISTS, TARGET_PROTECTED; NOT_FOUND for a named Secret that was not there; DAMAGED."""
        wanted = self._wanted(spec, origin, requested)
        found = tuple(sorted({key.space for key in wanted} - {""}))
        if not found:
            raise DrError(NOT_FOUND, f"{spec.id} holds nothing at {format_instant(requested)}")
        erased = erased_among(found, tenants_in(spec, wanted), self.ledger)
        found = tuple(name for name in found if name not in erased)
        wanted = {key: body for key, body in wanted.items() if key.space not in erased}
        spaces = spaces_for(target, _meant(spec, target, wanted, found))
        living = living_namespaces(self.api, spaces)
        refuse_living(target, spec.id.name, living)
        refuse_mapped_onto(target, spaces, living)
        wanted = {key: body for key, body in wanted.items() if not target.scope or key.space in spaces}
        for name in unknown_names(target.named, wanted):
            raise DrError(
                NOT_FOUND, f"there was no Secret {name.removeprefix('secret:')} at {format_instant(requested)}"
            )
        lost = sorted(set(spaces.values()) - set(living))
        kinds = sorted({key.kind for key in wanted} | set(ConfigOptions.read(spec).wanted))
        form = Form(Names("", "", "", "", spaces, target.isolated, bool(target.scope)))
        rules = Rules.of(target, spec.id.name, lost)
        return PlannedRestore(
            source=spec.id,
            domain=domain,
            method=self.method,
            point=None,
            instant=requested,
            target=target,
            size=_size(origin),
            predicted=None,
            cost_usd=0.0,
            creates=tuple(self._creates(form, wanted, spaces)),
            reasons=(*_origin_words(origin, requested, wanted), *self._reasons(form, rules, wanted, kinds)),
            details={
                "namespaces": dict(spaces),
                "lost": lost,
                "kinds": kinds,
                "cutover": dict(mapping(spec.options, "cutover")),
                "replaceSecrets": list(ConfigOptions.read(spec).replace_secrets),
                "erased": list(erased),
                TENANT_LABEL: text(spec.options, TENANT_LABEL),
            },
        )

    def _wanted(self, spec: SourceSpec, origin: PointManifest | Coverage, requested: datetime) -> Wanted:
        manifest = origin if isinstance(origin, PointManifest) else None
        return unsealed(self.sealer, spec.id, Origin(self.vault, spec.id, manifest, requested).state())

    def _creates(self, form: Form, wanted: Wanted, spaces: Mapping[str, str]) -> Iterator[str]:
        if not form.names.isolated:
            return
        yield from (f"namespace {name}" for name in spaces.values())
        counts = Counter(key.kind for key in wanted if not form.held_back(key))
        yield from (f"{count} x {kind}" for kind, count in sorted(counts.items()))

    def _reasons(self, form: Form, rules: Rules, wanted: Wanted, kinds: list[str]) -> Iterator[str]:
        if form.names.isolated:
            held = {why: key.kind for key in wanted if (why := form.held_back(key))}
            yield "contained: no traffic in or out, replicas at 0, CronJobs and Flux suspended, Services inside only"
            yield from (f"{kind} only as a dry run: {why}" for why, kind in sorted(held.items()))
            return
        resources = resources_of(wanted, self.api.served(), kinds)
        living = self._living(form, resources)
        decisions = [
            rules.decide(key, form.body(key, body), living.get(form.place(key))) for key, body in wanted.items()
        ]
        yield from _decided(decisions)
        yield from _newer_words(newer({form.place(key) for key in wanted}, living), rules)

    def _living(self, form: Form, resources: Mapping[str, Resource]) -> dict[ObjectKey, Plain]:
        return Living(self.api, form.names.targets, not form.names.partial).normal(resources.values())


def _meant(spec: SourceSpec, target: Target, wanted: Wanted, found: tuple[str, ...]) -> tuple[str, ...]:
    """By the labels that the namespaces had at the instant."""
    return in_scope(target, found, tenants_in(spec, wanted), text(spec.options, TENANT_LABEL))


def tenants_in(spec: SourceSpec, wanted: Wanted) -> Mapping[str, str]:
    return tenants_labelled(wanted, text(spec.options, TENANT_LABEL))


def tenants_labelled(wanted: Wanted, label: str) -> Mapping[str, str]:
    """Namespace -> tenant, by the labels that the namespaces had at the instant."""
    return tenants_by_label([body for key, body in wanted.items() if key.kind == NAMESPACE_KIND], label)


def _size(origin: PointManifest | Coverage) -> int:
    if isinstance(origin, PointManifest):
        return origin.size
    found = origin.details.get("size")
    return found if isinstance(found, int) else 0


def _origin_words(origin: PointManifest | Coverage, requested: datetime, wanted: Wanted) -> Iterator[str]:
    yield f"{len(wanted)} objects as they were seen until {format_instant(requested)}"
    complete = origin.details.get("watermark") if isinstance(origin, Coverage) else None
    if complete and parse_instant(str(complete)) < requested:
        yield f"the log is complete until {complete}; later changes are those that were seen"


def _decided(decisions: list[Decision]) -> Iterator[str]:
    counts = Counter(one.act for one in decisions)
    yield f"{counts[Act.CREATE]} are made, {counts[Act.CHANGE]} changed back, {counts[Act.SAME]} are as they were"
    changed = sorted(str(one.key) for one in decisions if one.act is Act.CHANGE)
    if changed:
        yield f"changed back: {first(changed, _NAMED)}"
    reasons: dict[str, list[str]] = {}
    for one in decisions:
        if one.act is Act.LEAVE:
            reasons.setdefault(one.why.partition(": --")[0], []).append(str(one.key))
    yield from (
        f"{len(keys)} left as they live ({why}): {first(sorted(keys), _NAMED)}" for why, keys in sorted(reasons.items())
    )


def _newer_words(found: tuple[ObjectKey, ...], rules: Rules) -> Iterator[str]:
    if found:
        what = "deleted, as named" if rules.deletes_newer else f"left; --delete-{NEWER} deletes them"
        yield f"{len(found)} were made after the instant and are {what}: {first(list(map(str, found)), _NAMED)}"
