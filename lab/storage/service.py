"""What all handlers share: the store, the policy of who may do what, and the one way a generation comes and goes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.iam import Iam
from lab.storage import failures, policy
from lab.storage.clock import Clock
from lab.storage.faults import Faults
from lab.storage.index import Index, archived, soft_deleted
from lab.storage.model import Bucket, Content, Json, Object, State
from lab.storage.payloads import Payloads
from lab.storage.resources import OBJECT_SETTINGS

MAX_NAME_BYTES = 1024


@dataclass(slots=True)
class Service:
    """The opened store."""

    iam: Iam
    clock: Clock
    payloads: Payloads
    index: Index
    faults: Faults = field(default_factory=Faults)
    stats: Counter[str] = field(default_factory=Counter)
    orphans_removed: int = 0
    busy: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, directory: Path, iam: Iam, clock: Clock) -> "Service":
        """Open and recover `directory`."""
        payloads = Payloads(directory)
        index = Index(directory / "index.db", payloads.remove)
        clock.last_generation = index.last_generation()
        open_sessions = {session.id: session.received for session in index.sessions() if not session.generation}
        removed = payloads.recover(index.payloads(), open_sessions)
        return cls(iam, clock, payloads, index, orphans_removed=removed)

    # --- who may ---------------------------------------------------------------------------------------------------

    def allow(self, identity: str, permission: str, bucket: str, name: str | None = None) -> None:
        """403 unless `identity` has `permission` on the bucket (or one of its objects); 404 for a bucket that is not there."""
        resource = f"buckets/{bucket}" if name is None else f"buckets/{bucket}/objects/{name}"
        if not self.iam.allowed(identity, permission, resource):
            self.bucket(bucket)
            kind = "object" if permission.startswith("storage.objects.") else "bucket"
            raise failures.forbidden(self.iam.email(identity), permission, kind)

    def allow_project(self, identity: str, permission: str, project: str) -> None:
        """403 unless `identity` has `permission` in the project."""
        if not self.iam.allowed(identity, permission, f"projects/{project}"):
            raise failures.forbidden(self.iam.email(identity), permission, "project")

    # --- what is there ---------------------------------------------------------------------------------------------

    def bucket(self, name: str) -> Bucket:
        """The bucket, or 404."""
        found = self.index.bucket(name)
        if found is None:
            raise failures.no_bucket()
        return found

    def find(self, bucket: str, name: str, query: Mapping[str, str], generation_key: str = "generation") -> Object:
        """The live object, or the generation that `query` names (soft-deleted only if asked for); 404."""
        soft = query.get("softDeleted", "").lower() == "true"
        found = self.index.live(bucket, name)
        if query.get(generation_key):
            found = self.index.version(bucket, name, _generation(query[generation_key]))
        if found is None or (found.state == State.SOFT_DELETED) != soft:
            raise failures.no_object(bucket, name)
        if soft and found.hard_delete_us <= self.clock.now_us():
            raise failures.no_object(bucket, name)
        return found

    # --- how it changes --------------------------------------------------------------------------------------------

    def create(
        self, bucket: Bucket, name: str, content: Content, settings: Json, identity: str, when: policy.Conditions
    ) -> Object:
        """A new live generation, after every check; what was live becomes noncurrent, soft-deleted or gone."""
        check_name(name)
        self.allow(identity, "storage.objects.create", bucket.name, name)
        now = self.clock.now_us()
        old = self.index.live(bucket.name, name)
        when.check_object(old)
        settings = self._settings(bucket, name, settings, identity, now)
        if old is not None:
            self.allow(identity, "storage.objects.delete", bucket.name, name)
            policy.check_removable(bucket, old, now, archives=bucket.versioned)
            self._retire(bucket, old, now, archive=bucket.versioned)
        generation, blob = self.clock.generation(), (content.payload, content.size, content.crc32c, content.md5)
        item = Object(bucket.name, name, generation, State.LIVE, *blob, 1, now, now, settings)
        self.index.put(item, content)
        self.stats["objects_created"] += 1
        return item

    def remove(self, bucket: Bucket, item: Object, *, archive: bool) -> None:
        """Delete a generation (or make it noncurrent); 403 when a hold or retention forbids it."""
        now = self.clock.now_us()
        policy.check_removable(bucket, item, now, archives=archive)
        self._retire(bucket, item, now, archive=archive)
        self.stats["objects_deleted"] += 1

    def update(self, bucket: Bucket, item: Object, settings: Json, identity: str, *, override: bool) -> Object:
        """New metadata for a generation; 400 or 403 when its retention forbids it."""
        now = self.clock.now_us()
        if settings.get("retention") != item.settings.get("retention"):
            self.allow(identity, "storage.objects.setRetention", bucket.name, item.name)
            if override:
                self.allow(identity, "storage.objects.overrideUnlockedRetention", bucket.name, item.name)
        policy.check_settings(bucket, settings, now)
        settings = policy.normalized(settings)
        policy.check_retention_change(item, settings, now, override=override)
        changed = replace(item, settings=settings, metageneration=item.metageneration + 1, updated_us=now)
        self.index.put(changed)
        return changed

    def purge(self) -> int:
        """Remove soft-deleted generations whose time is over; how many."""
        expired = self.index.expired(self.clock.now_us())
        for item in expired:
            self.index.drop(item)
        return len(expired)

    def _settings(self, bucket: Bucket, name: str, settings: Json, identity: str, now: int) -> Json:
        chosen = {key: settings[key] for key in OBJECT_SETTINGS if settings.get(key) is not None}
        if bucket.settings.get("defaultEventBasedHold") and "eventBasedHold" not in chosen:
            chosen["eventBasedHold"] = True
        policy.check_settings(bucket, chosen, now)
        chosen = dict(policy.normalized(chosen))
        if "retention" in chosen:
            self.allow(identity, "storage.objects.setRetention", bucket.name, name)
            fresh = Object(bucket.name, name, 0, State.LIVE, "", 0, "", "", 0, now, now, {})
            policy.check_retention_change(fresh, chosen, now, override=False)
        return chosen

    def _retire(self, bucket: Bucket, item: Object, now: int, *, archive: bool) -> None:
        if archive:
            self.index.put(archived(item, now))
        elif bucket.soft_delete_s:
            self.index.put(soft_deleted(item, now, bucket.soft_delete_s))
        else:
            self.index.drop(item)


def check_name(name: str) -> None:
    """400 for a name that Cloud Storage refuses."""
    too_long = len(name.encode()) > MAX_NAME_BYTES
    if not name or too_long or name in (".", "..") or "\n" in name or "\r" in name:
        raise failures.invalid(f"Invalid object name: {name[:80]!r}")


def _generation(text: str) -> int:
    if not text.isdigit():
        raise failures.invalid(f"Invalid value for generation: {text}")
    return int(text)
