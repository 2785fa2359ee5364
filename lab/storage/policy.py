"""Pure decisions: preconditions, holds and retention. They raise ApiError or return; nothing is changed here."""

from collections.abc import Mapping
from dataclasses import dataclass

from lab.storage.failures import ApiError, condition_not_met, held, invalid, not_modified, retained, retention_locked
from lab.storage.model import MICROSECONDS, Bucket, Json, Object, integer, microseconds, rfc3339

CENTURY_US = 36_525 * 86_400 * MICROSECONDS
MODES = ("Unlocked", "Locked")


@dataclass(frozen=True, slots=True)
class Conditions:
    """The four preconditions of a verb; None where the caller states nothing."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """412 (304 for the Not-conditions of a read) unless all hold; absent things have generation 0."""
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise condition_not_met()
        if self.not_generation == generation or self.not_metageneration == metageneration:
            raise not_modified() if reading and generation else condition_not_met()

    def check_object(self, found: Object | None, *, reading: bool = False) -> None:
        """As `check`, for an object that may be absent."""
        self.check(found.generation if found else 0, found.metageneration if found else 0, reading=reading)


def conditions(query: Mapping[str, str], prefix: str = "if") -> Conditions:
    """Read `ifGenerationMatch` and its like; `prefix` "ifSource" for the source of a rewrite. 400 for no number."""
    names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
    return Conditions(*(_number(query, prefix + name) for name in names))


def _number(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"Invalid value for {key}: {text}") from error


def retention_expires(bucket: Bucket, item: Object) -> int:
    """Until when the *bucket's* policy keeps this object, Unix microseconds; 0 when it does not."""
    period = bucket.retention_s * MICROSECONDS
    return item.created_us + period if period else 0


def check_removable(bucket: Bucket, item: Object, now_us: int, *, archives: bool) -> None:
    """403 when a hold or a retention forbids to delete or replace `item`; `archives`: it would stay as noncurrent."""
    if item.settings.get("temporaryHold"):
        raise held(bucket.name, item.name, "Temporary")
    if item.settings.get("eventBasedHold"):
        raise held(bucket.name, item.name, "Event-Based")
    until = max(retention_expires(bucket, item), item.retain_until_us)
    if until > now_us and not archives:
        raise retained(bucket.name, item.name, rfc3339(until))


def check_settings(bucket: Bucket, settings: Json, now_us: int) -> None:
    """400 when an object's settings contradict themselves or its bucket."""
    retention = settings.get("retention")
    if retention is None:
        return
    if not bucket.object_retention:
        raise invalid("Object retention is not enabled on this bucket.")
    if settings.get("eventBasedHold"):
        raise invalid("Object retention cannot be combined with an event-based hold.")
    _check_retention(retention, now_us)


def normalized(settings: Json) -> Json:
    """Checked settings with the retention's end in one spelling."""
    retention = settings.get("retention")
    if not isinstance(retention, Mapping):
        return {key: value for key, value in settings.items() if key != "retention"}
    until = rfc3339(microseconds(str(retention["retainUntilTime"])))
    return {**settings, "retention": {"mode": retention["mode"], "retainUntilTime": until}}


def _check_retention(retention: object, now_us: int) -> None:
    if not isinstance(retention, Mapping) or retention.get("mode") not in MODES or not retention.get("retainUntilTime"):
        raise invalid("Object retention needs a mode (Unlocked or Locked) and a retainUntilTime.")
    try:
        until = microseconds(str(retention["retainUntilTime"]))
    except ValueError as error:
        raise invalid(f"Invalid retainUntilTime: {error}") from error
    if until > now_us + CENTURY_US:
        raise invalid("retainUntilTime cannot be more than 100 years in the future.")


def check_retention_change(item: Object, wanted: Json, now_us: int, *, override: bool) -> None:
    """May the object's retention become `wanted["retention"]`? 400 for a new end in the past, 403 for a weakening."""
    new, old = wanted.get("retention"), item.retention
    if new == (old or None):
        return
    if isinstance(new, Mapping):
        until = microseconds(str(new["retainUntilTime"]))
        if until <= now_us:
            raise invalid("retainUntilTime must be in the future.")
        if until >= item.retain_until_us and not (old.get("mode") == "Locked" and new["mode"] != "Locked"):
            return
    if item.retain_until_us <= now_us:
        return
    _refuse_weakening(item, str(old.get("mode")), override)


def _refuse_weakening(item: Object, mode: str, override: bool) -> None:
    """403 for a shorter, unlocked or removed retention, unless it is Unlocked and `override` is given."""
    subject = f"Object '{item.bucket}/{item.name}' is under {mode} retention"
    if mode == "Locked":
        raise retention_locked(f"{subject}: it cannot be reduced, unlocked or removed.")
    if not override:
        raise retention_locked(f"{subject}: reducing or removing it requires overrideUnlockedRetention.")


def check_bucket_change(old: Bucket, settings: Json) -> None:
    """400/403 when a bucket's new settings weaken a locked policy or switch object retention off."""
    policy = old.section("retentionPolicy")
    new = settings.get("retentionPolicy")
    period = integer(new, "retentionPeriod") if isinstance(new, Mapping) else 0
    if policy.get("isLocked") and period < old.retention_s:
        raise ApiError(403, "forbidden", "Cannot reduce or remove a locked retention policy.")
    if old.object_retention and settings.get("objectRetention") != old.settings.get("objectRetention"):
        raise invalid("Object retention cannot be disabled once it is enabled on a bucket.")
