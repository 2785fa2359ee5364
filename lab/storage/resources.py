"""JSON forms of buckets and objects, and the `fields` parameter."""

import zlib
from collections.abc import Mapping
from urllib.parse import quote

from lab.storage.model import Bucket, Json, Object, State, rfc3339
from lab.storage.policy import retention_expires

OBJECT_SETTINGS = [
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "retention",
    "storageClass",
    "temporaryHold",
]
BUCKET_SETTINGS = [
    "autoclass",
    "billing",
    "cors",
    "defaultEventBasedHold",
    "encryption",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "location",
    "locationType",
    "logging",
    "objectRetention",
    "retentionPolicy",
    "rpo",
    "softDeletePolicy",
    "storageClass",
    "versioning",
    "website",
]


def bucket_resource(bucket: Bucket) -> dict[str, object]:
    """`storage#bucket`."""
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": str(zlib.crc32(bucket.project.encode())),
        "metageneration": str(bucket.metageneration),
        "timeCreated": rfc3339(bucket.created_us),
        "updated": rfc3339(bucket.updated_us),
        "etag": f"CA{bucket.metageneration}=",
        **bucket.settings,
    }


def object_resource(bucket: Bucket, item: Object, base: str) -> dict[str, object]:
    """`storage#object`; `base` is the server's address as the caller knows it."""
    path = f"/b/{quote(item.bucket, safe='')}/o/{quote(item.name, safe='')}"
    resource: dict[str, object] = {
        "kind": "storage#object",
        "id": f"{item.bucket}/{item.name}/{item.generation}",
        "selfLink": f"{base}/storage/v1{path}",
        "mediaLink": f"{base}/download/storage/v1{path}?generation={item.generation}&alt=media",
        "name": item.name,
        "bucket": item.bucket,
        "generation": str(item.generation),
        "metageneration": str(item.metageneration),
        "size": str(item.size),
        "crc32c": item.crc32c,
        "etag": etag(item),
        "timeCreated": rfc3339(item.created_us),
        "updated": rfc3339(item.updated_us),
        "timeStorageClassUpdated": rfc3339(item.created_us),
        "timeFinalized": rfc3339(item.created_us),
        "storageClass": "STANDARD",
    }
    resource.update(item.settings)
    resource.update(_occasional(bucket, item))
    return resource


def _occasional(bucket: Bucket, item: Object) -> Json:
    """Fields that appear only when they say something."""
    expires = retention_expires(bucket, item)
    fields: dict[str, object] = {
        "md5Hash": item.md5,
        "componentCount": item.components,
        "retentionExpirationTime": rfc3339(expires) if expires else "",
        "timeDeleted": rfc3339(item.deleted_us) if item.state == State.NONCURRENT else "",
        "softDeleteTime": rfc3339(item.soft_deleted_us) if item.state == State.SOFT_DELETED else "",
        "hardDeleteTime": rfc3339(item.hard_delete_us) if item.state == State.SOFT_DELETED else "",
    }
    return {key: value for key, value in fields.items() if value}


def etag(item: Object) -> str:
    """Changes with the content and with the metadata."""
    return f"{item.generation:x}/{item.metageneration:x}"


def pick(value: object, fields: str) -> object:
    """Keep what a `fields` expression names: `items(name,size),nextPageToken`, `a/b`, `*`; all when it is empty."""
    return _pick(value, _parse(fields)) if fields and fields != "*" else value


def _pick(value: object, tree: Mapping[str, Json]) -> object:
    if isinstance(value, list):
        return [_pick(item, tree) for item in value]
    if not tree or "*" in tree or not isinstance(value, Mapping):
        return value
    return {key: _pick(value[key], tree[key]) for key in value if key in tree}  # type: ignore[arg-type]


def _parse(fields: str) -> dict[str, Json]:
    """A tree of names; {} as a leaf means all below."""
    tree: dict[str, Json] = {}
    for part in _split(fields):
        head, inner = part, ""
        cut = min((part.index(mark) for mark in "/(" if mark in part), default=-1)
        if cut >= 0:
            head, inner = part[:cut], part[cut + 1 : -1] if part[cut] == "(" else part[cut + 1 :]
        tree[head.strip()] = {**tree.get(head.strip(), {}), **(_parse(inner) if inner else {})}
    return tree


def _split(fields: str) -> list[str]:
    """At commas outside parentheses."""
    parts, depth, begin = list[str](), 0, 0
    for position, letter in enumerate(fields):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(fields[begin:position])
            begin = position + 1
    return [part for part in (*parts, fields[begin:]) if part.strip()]
