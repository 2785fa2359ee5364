"""The platform's documents: the same ones for the same seed, every value type among them. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lab.energent import values
from lab.energent.store import Put
from lab.energent.values import Fields

EPOCH = datetime(2025, 5, 1, tzinfo=UTC)
TIERS = (("Basic", 10), ("Standard", 25), ("Premium", 50), ("Enterprise", 100))
"""Tier and its storage in GB."""
NEAR_LIMIT = 1_030_000  # bytes of the largest document; Firestore's limit is 1 MiB with all names
SPECIAL_FLOATS = (0.0, -0.0, 0.1, 1e-320, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"))
SPECIAL_INTEGERS = (0, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))
SPECIAL_TIMES = (
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2025-05-28T10:00:00.000001Z",
)
SPECIAL_STRINGS = ("", " ", "\u0000", "Ünïcödé ☃ 数据 🚀", 'a\nb\t"c"\\d', "x" * 3000)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world: `documents` counts all of them but `meta/platform`."""

    tenants: int = 10
    documents: int = 2000
    seed: int = 7


def tenant_id(number: int) -> str:
    return f"t-{number:03d}"


def tier(number: int) -> tuple[str, int]:
    return TIERS[number % len(TIERS)]


def world(size: Size) -> Iterator[Put]:
    """All documents, the tenants first; `meta/platform` last, so that it never promises what is not there."""
    for number in range(1, size.tenants + 1):
        yield Put(f"tenants/{tenant_id(number)}", tenant(number))
    specials = list(samples())
    yield from specials
    for index in range(max(size.documents - size.tenants - len(specials), 0)):
        yield ordinary(index, size)
    yield Put("meta/platform", {"tenants": values.integer(size.tenants), "schema": values.integer(3)})


def tenant(number: int) -> Fields:
    name, quota = tier(number)
    return {
        "name": values.string(f"Tenant {number}"),
        "tier": values.string(name),
        "storageGb": values.integer(quota),
        "created": values.timestamp(instant(number * 3600)),
        "settings": values.mapping({"theme": values.string("dark"), "beta": values.boolean(number % 2 == 0)}),
        "parent": values.null() if number == 1 else values.reference(f"tenants/{tenant_id(1)}"),
    }


def instant(seconds: float) -> str:
    """`EPOCH` + seconds, in the canonical form."""
    moment = EPOCH + timedelta(seconds=seconds)
    return values.trim(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def ordinary(index: int, size: Size) -> Put:
    """The index-th of the many: seven jobs, two usage records and a user in ten."""
    rng = random.Random(size.seed * 1_000_003 + index)
    owner = tenant_id(index % size.tenants + 1)
    kind = index // size.tenants % 10
    if kind == 0:
        return Put(f"tenants/{owner}/users/u-{index:07d}", user(rng, index))
    if kind < 3:
        return Put(f"tenants/{owner}/usage/{EPOCH:%Y%m}-{index:07d}", usage(rng, index))
    return Put(f"tenants/{owner}/jobs/j-{index:07d}", job(rng, owner, index))


def user(rng: random.Random, index: int) -> Fields:
    return {
        "email": values.string(f"user{index}@example.com"),
        "admin": values.boolean(rng.random() < 0.1),
        "home": values.place(round(rng.uniform(-90, 90), 6), round(rng.uniform(-180, 180), 6)),
        "avatar": values.blob(rng.randbytes(48)),
        "lastLogin": values.timestamp(instant(rng.randrange(10**6) + rng.randrange(10**6) / 1e6)),
    }


def usage(rng: random.Random, index: int) -> Fields:
    return {
        "cpuSeconds": values.double(rng.uniform(0, 1e6)),
        "tokens": values.integer(rng.randrange(10**12)),
        "perModel": values.mapping({f"m{n}": values.double(rng.random()) for n in range(rng.randrange(4))}),
        "hours": values.array(*(values.integer(rng.randrange(24)) for _ in range(rng.randrange(5)))),
        "row": values.integer(index),
    }


def job(rng: random.Random, owner: str, seq: int) -> Fields:
    """A job; `seq` makes every version's content, and so its hash, its own."""
    return {
        "seq": values.integer(seq),
        "state": values.string(rng.choice(("queued", "running", "done", "failed"))),
        "tenant": values.reference(f"tenants/{owner}"),
        "submitted": values.timestamp(instant(seq)),
        "score": values.double(rng.gauss(0, 1)),
        "result": values.null() if rng.random() < 0.3 else values.string("r" * rng.randrange(200)),
        "steps": values.array(
            *(values.mapping({"n": values.integer(n), "ok": values.boolean(True)}) for n in range(rng.randrange(4)))
        ),
    }


def samples() -> Iterator[Put]:
    """Every value type with its extremes, odd names, and a document near the size limit."""
    kinds: dict[str, list[values.Value]] = {
        "integers": [values.integer(number) for number in SPECIAL_INTEGERS],
        "doubles": [values.double(number) for number in SPECIAL_FLOATS],
        "times": [values.timestamp(text) for text in SPECIAL_TIMES],
        "strings": [values.string(text) for text in SPECIAL_STRINGS],
        "bytes": [values.blob(b""), values.blob(bytes(range(256)))],
        "places": [values.place(-90.0, -180.0), values.place(0.0, 0.0), values.place(89.999999, 179.999999)],
        "others": [values.null(), values.boolean(True), values.boolean(False), values.reference("meta/platform")],
        "nested": [
            values.mapping({}),
            values.mapping({"a": values.mapping({"b": values.array()}), "c": values.null()}),
        ],
    }
    base = f"tenants/{tenant_id(1)}/samples"
    for name, cases in kinds.items():
        yield Put(f"{base}/{name}", {f"v{n}": case for n, case in enumerate(cases)} | {"all": values.array(*cases)})
    yield Put(f"{base}/empty", {})
    for odd in ("ключ-☃-🚀", "with space", "dots.and:colons", "1234567890", "__x"):
        yield Put(f"{base}/{odd}", {"odd `field` name.": values.string(odd), "seq": values.integer(0)})
    noise = random.Random(1).randbytes(NEAR_LIMIT)
    yield Put(f"{base}/near-limit", {"payload": values.blob(noise)})
