"""What a restore of the configuration does to what lives: object by object, by the rules that the restore itself follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dr.components.config.applying import Applying
from dr.components.config.comparing import differences
from dr.components.config.deciding import Act, Decision, newer
from dr.components.config.living import resources_of
from dr.components.config.normal import Plain, digest, normalised
from dr.components.config.state import ObjectKey
from dr.model.listing import first
from dr.model.review import ABSENT, Review
from dr.vendors.kubernetes_objects import KubeObject, mapping, sequence, text, uid_of

_PATHS = 3
_SECRETS = "secrets"


@dataclass(slots=True)
class _Living:
    """What lives, as it is compared and as it is told apart."""

    plain: dict[ObjectKey, Plain] = field(default_factory=dict)
    versions: dict[ObjectKey, str] = field(default_factory=dict)


def review(applying: Applying) -> Review:
    """Raises DrError as `Applying.wanted`."""
    form, rules = applying.form, applying.rules
    living = _living(applying)
    bodies = {form.place(key): form.body(key, body) for key, body in applying.wanted.items() if not form.held_back(key)}
    decisions = [rules.decide(key, body, living.plain.get(key)) for key, body in bodies.items()]
    later = newer(bodies, living.plain) if not form.names.isolated else ()
    gone = later if rules.deletes_newer else ()
    touched = {*bodies, *gone}
    return Review(
        creates=dict(sorted(Counter(one.key.kind for one in decisions if one.act is Act.CREATE).items())),
        changes=tuple(_changes(decisions, bodies, living.plain)),
        deletes=tuple(map(str, gone)),
        lost=tuple(_lost(decisions, gone)),
        conflicts=tuple(_conflicts(decisions, () if gone else later)),
        skipped=tuple(_held_back(applying)),
        world={str(key): living.versions.get(key, ABSENT) for key in sorted(touched)},
    )


def _living(applying: Applying) -> _Living:
    found = _Living()
    kinds = [str(kind) for kind in sequence(applying.work.item.details, "kinds")]
    for resource in resources_of(applying.wanted, applying.api.served(), kinds).values():
        for key, body in applying.living.of(resource).items():
            plain = normalised(key.kind, body)
            found.plain[key] = plain
            found.versions[key] = _version(key, body, plain)
    return found


def _version(key: ObjectKey, body: KubeObject, plain: Plain) -> str:
    """By content, because controllers touch much that means nothing here; of a Secret nothing that could be guessed at."""
    if key.kind == _SECRETS:
        return f"{uid_of(body)}/{text(mapping(body, 'metadata'), 'resourceVersion')}"
    return digest(plain)[:16]


def _changes(
    decisions: list[Decision], bodies: Mapping[ObjectKey, Plain], living: Mapping[ObjectKey, Plain]
) -> Iterator[str]:
    for one in decisions:
        if one.act is Act.CHANGE:
            paths = differences(bodies[one.key], living[one.key])
            yield f"{one.key}: {first(paths, _PATHS)}"


def _lost(decisions: list[Decision], gone: tuple[ObjectKey, ...]) -> Iterator[str]:
    changed = sum(one.act is Act.CHANGE for one in decisions)
    if changed:
        yield f"the present content of {changed} objects that are changed back"
    yield from (f"{key}, made after the instant" for key in gone)


def _conflicts(decisions: list[Decision], left: tuple[ObjectKey, ...]) -> Iterator[str]:
    yield from (f"{one.key} stays as it lives: {one.why}" for one in decisions if one.act is Act.LEAVE)
    yield from (f"{key} was made after the instant and stays" for key in left)


def _held_back(applying: Applying) -> Iterator[str]:
    found = Counter((key.kind, why) for key in applying.wanted if (why := applying.form.held_back(key)))
    yield from (f"{count} x {kind}: {why}" for (kind, why), count in sorted(found.items()))
