"""Verbs on buckets."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.storage import policy
from lab.storage.failures import ApiError, invalid
from lab.storage.model import Bucket, Json, State, rfc3339
from lab.storage.resources import BUCKET_SETTINGS, bucket_resource, pick
from lab.storage.service import Service
from lab.storage.wire import Request, Response, json_response

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
SOFT_DELETE_S = 7 * 86_400
FIXED_AT_CREATION = ("location", "locationType", "storageClass", "objectRetention")


async def create(service: Service, request: Request) -> Response:
    """POST /b?project=P (enableObjectRetention=true for object retention)."""
    project, body = request.query.get("project", service.iam.project), await request.json()
    service.allow_project(request.identity, "storage.buckets.create", project)
    if request.flag("enableObjectRetention"):
        service.allow_project(request.identity, "storage.buckets.enableObjectRetention", project)
    name = str(body.get("name", ""))
    if not NAME.fullmatch(name):
        raise invalid(f"Invalid bucket name: {name!r}")
    if service.index.bucket(name) is not None:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise ApiError(409, "conflict", message)
    settings = _settled({**_defaults(request), **_writable(body)}, {}, service.clock.now_us())
    location = str(settings.get("location", "US")).upper()
    now = service.clock.now_us()
    bucket = Bucket(name, project, 1, now, now, {**settings, "location": location, "locationType": _kind(location)})
    service.index.put_bucket(bucket)
    return json_response(bucket_resource(bucket))


async def collection(service: Service, request: Request) -> Response:
    """GET /b?project=P."""
    project, prefix = request.query.get("project", service.iam.project), request.query.get("prefix", "")
    service.allow_project(request.identity, "storage.buckets.list", project)
    items = [bucket_resource(found) for found in service.index.buckets(project) if found.name.startswith(prefix)]
    answer = {"kind": "storage#buckets", **({"items": items} if items else {})}
    return json_response(pick(answer, request.query.get("fields", "")))


async def get(service: Service, request: Request, name: str) -> Response:
    """GET /b/B."""
    service.allow(request.identity, "storage.buckets.get", name)
    bucket = service.bucket(name)
    _check(request, bucket, reading=True)
    return json_response(pick(bucket_resource(bucket), request.query.get("fields", "")))


async def patch(service: Service, request: Request, name: str) -> Response:
    """PATCH /b/B: merges; null removes."""
    body = await request.json()
    return _change(service, request, name, lambda old: _merge(old, body))


async def update(service: Service, request: Request, name: str) -> Response:
    """PUT /b/B: replaces all that can be written."""
    body = await request.json()
    return _change(service, request, name, lambda _: _writable(body))


async def delete(service: Service, request: Request, name: str) -> Response:
    """DELETE /b/B; 409 while a live or noncurrent object is in it."""
    service.allow(request.identity, "storage.buckets.delete", name)
    _check(request, service.bucket(name))
    if next(service.index.after(name, (State.LIVE, State.NONCURRENT), ("", 0), limit=1), None) is not None:
        raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
    service.index.drop_bucket(name)
    return Response(204)


async def lock_retention(service: Service, request: Request, name: str) -> Response:
    """POST /b/B/lockRetentionPolicy?ifMetagenerationMatch=M: irreversible."""
    if not request.query.get("ifMetagenerationMatch"):
        raise ApiError(400, "required", "Required parameter: ifMetagenerationMatch")

    def locked(old: Json) -> Json:
        policy_ = old.get("retentionPolicy")
        if not isinstance(policy_, Mapping):
            raise invalid("The bucket has no retention policy to lock.")
        return {**old, "retentionPolicy": {**policy_, "isLocked": True}}

    return _change(service, request, name, locked)


async def test_permissions(service: Service, request: Request, name: str) -> Response:
    """GET /b/B/iam/testPermissions?permissions=...: those of them that the caller has."""
    service.bucket(name)
    wanted = request.queries.get("permissions", [])
    resource = f"buckets/{name}"
    granted = [each for each in wanted if service.iam.allowed(request.identity, each, resource)]
    answer = {"kind": "storage#testIamPermissionsResponse", **({"permissions": granted} if granted else {})}
    return json_response(answer)


def _change(service: Service, request: Request, name: str, edit: Callable[[Json], Json]) -> Response:
    service.allow(request.identity, "storage.buckets.update", name)
    bucket, now = service.bucket(name), service.clock.now_us()
    _check(request, bucket)
    fixed = {key: bucket.settings[key] for key in FIXED_AT_CREATION if key in bucket.settings}
    wanted = edit(bucket.settings)
    settings = _settled({**wanted, **fixed}, bucket.settings, now)
    policy.check_bucket_change(bucket, settings)
    changed = replace(bucket, settings=settings, metageneration=bucket.metageneration + 1, updated_us=now)
    service.index.put_bucket(changed)
    return json_response(pick(bucket_resource(changed), request.query.get("fields", "")))


def _check(request: Request, bucket: Bucket, *, reading: bool = False) -> None:
    policy.conditions(request.query).check(bucket.metageneration, bucket.metageneration, reading=reading)


def _writable(body: Json) -> dict[str, object]:
    return {key: body[key] for key in BUCKET_SETTINGS if body.get(key) is not None and key != "objectRetention"}


def _merge(old: Json, changes: Json) -> Json:
    merged = dict(old)
    for key in BUCKET_SETTINGS:
        if key not in changes:
            continue
        new, before = changes[key], merged.get(key)
        if new is None:
            merged.pop(key, None)
        elif isinstance(new, Mapping) and isinstance(before, Mapping):
            merged[key] = {name: value for name, value in {**before, **new}.items() if value is not None}
        else:
            merged[key] = new
    return merged


def _defaults(request: Request) -> dict[str, object]:
    retention: dict[str, object] = {}
    if request.flag("enableObjectRetention"):
        retention = {"objectRetention": {"mode": "Enabled"}}
    access = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"}
    soft = {"retentionDurationSeconds": str(SOFT_DELETE_S)}
    return {"storageClass": "STANDARD", "iamConfiguration": access, "softDeletePolicy": soft, **retention}


def _settled(settings: Mapping[str, object], old: Json, now_us: int) -> dict[str, object]:
    """Numbers as the API writes them; the server sets when a policy began."""
    result = dict(settings)
    for key, period in (("retentionPolicy", "retentionPeriod"), ("softDeletePolicy", "retentionDurationSeconds")):
        section, before = result.get(key), old.get(key)
        if not isinstance(section, Mapping):
            continue
        began = before.get("effectiveTime") if isinstance(before, Mapping) else None
        locked = isinstance(before, Mapping) and before.get("isLocked")
        kept = {"isLocked": True} if locked or (section.get("isLocked") and before is not None) else {}
        value = str(section.get(period, "0"))
        if not value.isdigit():
            raise invalid(f"Invalid {period}: {value}")
        result[key] = {period: value, "effectiveTime": began or rfc3339(now_us), **kept}
    return result


def _kind(location: str) -> str:
    return "multi-region" if location in ("US", "EU", "ASIA") else "region"
