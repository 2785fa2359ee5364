"""What `dr check` asks of a subscription and its sink: everything on the way where an entry could be lost unseen. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dr.components.audit.access import PubsubOptions
from dr.model.points import Check
from dr.model.timeline import format_duration
from dr.plan.permissions import CONSUME
from dr.vendors.pubsub import Subscription
from dr.vendors.sinks import Sink

RETENTION = timedelta(days=7)
"""So long an archiver may be down before entries that nobody acknowledged are dropped."""
SHORTEST = timedelta(seconds=10)


def subscription_checks(found: Subscription, options: PubsubOptions) -> Iterator[Check]:
    """Of the subscription's own settings."""
    yield Check("topic", found.topic == options.topic_path, f"{found.topic}, declared {options.topic_path}")
    pulled = not (found.pushes or found.detached)
    yield Check(
        "delivery", pulled, "by pull" if pulled else "it is detached or delivers by itself: nothing can be pulled"
    )
    deadline = found.ack_deadline
    yield Check(
        "acknowledgement deadline", deadline >= SHORTEST, f"{format_duration(deadline)}, extended while storing"
    )
    kept = format_duration(found.retention)
    enough = found.retention >= RETENTION
    yield Check("retention", enough, f"{kept} of what is not acknowledged{'' if enough else ', 7d are wanted'}")
    yield _expiry(found.expires)
    yield Check("filter", not found.filtered, f"drops entries unseen: {found.filtered}" if found.filtered else "none")
    away = found.dead_letters
    yield Check("dead letters", not away, f"entries may be moved to {away} unseen" if away else "none")


def _expiry(expires: timedelta | None) -> Check:
    words = f"deleted after {format_duration(expires)} without a consumer: let it never expire" if expires else "never"
    return Check("expiry", expires is None, words)


def permission_check(missing: tuple[str, ...]) -> Check:
    return Check(
        "permissions on the subscription",
        not missing,
        f"missing: {', '.join(missing)}" if missing else ", ".join(CONSUME),
    )


def sink_check(name: str, found: Sink | None, options: PubsubOptions) -> Check:
    """Whether entries are sent to the topic at all."""
    title = f"sink {name}"
    if found is None:
        return Check(title, False, "there is none: nothing is sent to the topic")
    wanted = f"pubsub.googleapis.com/{options.topic_path}"
    if found.disabled:
        return Check(title, False, "it is disabled")
    if found.destination != wanted:
        return Check(title, False, f"it sends to {found.destination}, not to {wanted}")
    return Check(title, True, f"sends to {wanted}, filter: {found.filtered or 'none'}")
