"""Objects in Cloud Storage. Every write carries a generation precondition; a 412 is settled by comparing checksums.

The client's own retries are off where ours apply: they are unconditional, and slow to admit that nothing answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import requests
from google.api_core.exceptions import NotFound
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from dr.errors import CONFLICT, NOT_AUTHORISED, NOT_FOUND, RETENTION_REFUSED, DrError
from dr.ports import ObjectInfo, PlaceFacts, Stored
from dr.stores.digest import CHUNK, Digest, crc32c, require_name, require_whole
from dr.stores.reader import ChunkReader
from dr.vendors.google import GoogleAccess, translate
from dr.vendors.retry import with_retry
from dr.vendors.storage import FAILURES, TIMEOUT, body, open_download, stored_crc

T = TypeVar("T")

_PART = 8 << 20
"""Streams up to this many bytes go in one request, which can be repeated whole; larger ones in parts of it."""
_FIELDS = "name,size,crc32c,generation,timeCreated,metadata,temporaryHold,retention/retainUntilTime"
_RESUMES = 5


class GcsStore:
    """An ObjectStore over a bucket, under a prefix. Parallel-safe: one client, a pool of connections for threads."""

    def __init__(self, access: GoogleAccess, bucket: str, prefix: str = "") -> None:
        self._name = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._session = access.session()
        self._endpoint = access.storage_endpoint or "https://storage.googleapis.com"
        options = {"api_endpoint": access.storage_endpoint} if access.storage_endpoint else None
        # the project only matters for creating buckets, but the client insists on one
        project = access.project or "unused"
        self._client = Client(
            project=project, credentials=self._session.credentials, _http=self._session, client_options=options
        )
        self._bucket = self._client.bucket(bucket)

    @property
    def url(self) -> str:
        return f"gs://{self._name}/{self._prefix}".rstrip("/")

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        where = self._where(name)

        def attempt() -> ObjectInfo:
            blob = self._blob(name, metadata)
            blob.upload_from_string(
                data,
                content_type="application/octet-stream",
                checksum="crc32c",
                if_generation_match=if_generation,
                timeout=TIMEOUT,
                retry=None,
            )
            return self._info(blob)

        try:
            return self._ask(f"write {where}", attempt)
        except DrError as error:
            return self._same_or_raise(name, error, len(data), crc32c(data), if_generation)

    def _same_or_raise(self, name: str, error: DrError, size: int, crc: str, if_generation: int | None) -> ObjectInfo:
        """A lost acknowledgement looks like a conflict: then our own bytes are there.

        Over an existing name, an identity that may not delete can also be told that it is forbidden, or that the
        object is locked, before the precondition is looked at.
        """
        refusals = (CONFLICT, NOT_AUTHORISED, RETENTION_REFUSED) if if_generation == 0 else (CONFLICT,)
        stored = self._stat_after(name, error) if error.kind in refusals else None
        if stored is not None and (stored.size, stored.crc32c) == (size, crc):
            return stored
        if stored is None and error.kind is not CONFLICT:
            raise error
        raise DrError(CONFLICT, f"{self._where(name)} is not at the expected generation") from error

    def _stat_after(self, name: str, error: DrError) -> ObjectInfo | None:
        """Who may not even look is told of what it tried, not of the look."""
        try:
            return self.stat(name)
        except DrError as looking:
            raise error from looking

    def put_stream(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        if_generation: int | None = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        digest = Digest()
        source = ChunkReader(digest.passing(chunks))
        head = source.read(_PART)
        if len(head) < _PART:
            info = self.put(name, head, if_generation=if_generation, metadata=metadata)
        else:
            source.push_back(head)
            info = self._put_parts(name, source, digest, if_generation, metadata)
        return Stored(info, digest.sha256)

    def _put_parts(
        self,
        name: str,
        source: ChunkReader,
        digest: Digest,
        if_generation: int | None,
        metadata: Mapping[str, str] | None,
    ) -> ObjectInfo:
        where = self._where(name)
        blob = self._blob(name, metadata)
        blob.chunk_size = _PART
        try:
            blob.upload_from_file(
                source,
                content_type="application/octet-stream",
                checksum="crc32c",
                if_generation_match=if_generation,
                timeout=TIMEOUT,
                retry=DEFAULT_RETRY.with_timeout(60.0),
            )
            info = self._info(blob)
        except FAILURES as error:
            failure = translate(error, f"write {where}")
            return self._same_or_raise(name, failure, digest.size, digest.crc32c, if_generation)
        require_whole(where, digest, info.size, info.crc32c)
        return info

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        return b"".join(self.stream(name, generation=generation))

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        """A cut connection is taken up again at the same generation where it broke."""
        where = self._where(name)
        digest = Digest(sha=False)
        reply = self._open(name, generation, 0)
        crc, pinned = stored_crc(reply), int(reply.headers.get("x-goog-generation", 0)) or generation
        if crc is None:
            crc = self._stat_or_raise(name).crc32c
        for left in reversed(range(_RESUMES)):
            try:
                yield from digest.passing(body(reply, CHUNK, where))
                break
            except DrError:
                if not left:
                    raise
                reply = self._open(name, pinned, digest.size)
        require_whole(where, digest, None, crc)

    def _open(self, name: str, generation: int | None, offset: int) -> requests.Response:
        query = {"alt": "media"} | ({"generation": str(generation)} if generation else {})
        url = f"{self._endpoint}/download/storage/v1/b/{self._name}/o/{self._quoted(name)}?{urlencode(query)}"
        where = self._where(name)
        return self._ask(f"read {where}", lambda: open_download(self._session, url, offset, where))

    def stat(self, name: str) -> ObjectInfo | None:
        def attempt() -> ObjectInfo | None:
            blob = self._blob(name)
            try:
                blob.reload(timeout=TIMEOUT, retry=None)
            except NotFound as error:
                # a missing bucket is a mistake to report, a missing object an answer
                if "bucket" in str(error.message).lower() and "object" not in str(error.message).lower():
                    raise
                return None
            return self._info(blob)

        return self._ask(f"read {self._where(name)}", attempt)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        token: str | None = None
        while True:
            page, token = self._page(prefix, start_after, token)
            yield from (info for info in page if info.name > start_after)
            if token is None:
                return

    def _page(self, prefix: str, start_after: str, token: str | None) -> tuple[Sequence[ObjectInfo], str | None]:
        def attempt() -> tuple[Sequence[ObjectInfo], str | None]:
            found = self._client.list_blobs(
                self._bucket,
                prefix=self._prefix + prefix or None,
                start_offset=self._prefix + start_after if start_after else None,
                page_token=token,
                page_size=1000,
                fields=f"items({_FIELDS}),nextPageToken",
                timeout=TIMEOUT,
                retry=None,
            )
            page = next(found.pages, ())
            return tuple(self._info(blob) for blob in page), found.next_page_token

        return self._ask(f"list {self.url}/{prefix}", attempt)

    def delete(self, name: str, *, generation: int) -> None:
        where = self._where(name)

        def attempt() -> None:
            self._blob(name).delete(if_generation_match=generation, timeout=TIMEOUT, retry=None)

        try:
            self._ask(f"delete {where}", attempt)
        except DrError as error:
            if error.kind is CONFLICT:
                raise DrError(NOT_FOUND, f"{where} does not exist at {generation}") from error
            raise

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        def change(blob: Any) -> None:
            blob.retention.mode = "Locked"
            blob.retention.retain_until_time = until

        self._patch("lock", name, generation, change)

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        def change(blob: Any) -> None:
            blob.temporary_hold = held

        self._patch("hold" if held else "take the hold off", name, generation, change)

    def _patch(self, verb: str, name: str, generation: int, change: Callable[[Any], None]) -> None:
        where = self._where(name)

        def attempt() -> None:
            blob = self._blob(name)
            change(blob)
            blob.patch(if_generation_match=generation, timeout=TIMEOUT, retry=None)

        try:
            self._ask(f"{verb} {where}", attempt)
        except DrError as error:
            if error.kind is CONFLICT:
                raise DrError(NOT_FOUND, f"{where} does not exist at {generation}") from error
            raise

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        def attempt() -> tuple[str, ...]:
            held = set(self._bucket.test_iam_permissions(list(wanted), timeout=TIMEOUT, retry=None))
            return tuple(name for name in wanted if name not in held)

        return self._ask(f"ask for permissions on {self.url}", attempt)

    def server_time(self) -> datetime | None:
        """Any answer carries the server's clock, also a refusal. Whole seconds."""

        def attempt() -> datetime | None:
            url = f"{self._endpoint}/storage/v1/b/{self._name}?fields=name"
            date = self._session.get(url, timeout=TIMEOUT).headers.get("Date")
            return parsedate_to_datetime(date) if date else None

        return self._ask(f"ask {self.url} for its clock", attempt)

    def describe(self) -> PlaceFacts:
        """See `ports.Described`."""

        def attempt() -> PlaceFacts:
            bucket = self._client.bucket(self._name)
            bucket.reload(timeout=TIMEOUT, retry=None)
            return PlaceFacts(
                location=str(bucket.location or ""),
                object_retention=bucket.object_retention_mode == "Enabled",
                retention_s=int(bucket.retention_period or 0),
                versioned=bool(bucket.versioning_enabled),
            )

        return self._ask(f"read the settings of {self.url}", attempt)

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        def translated() -> T:
            try:
                return call()
            except FAILURES as error:
                raise translate(error, what) from error

        return with_retry(translated, what=what)

    def _stat_or_raise(self, name: str) -> ObjectInfo:
        info = self.stat(name)
        if info is None:
            raise DrError(NOT_FOUND, f"{self._where(name)} does not exist")
        return info

    def _blob(self, name: str, metadata: Mapping[str, str] | None = None) -> Any:
        blob = self._bucket.blob(self._prefix + require_name(name))
        if metadata:
            blob.metadata = dict(metadata)
        return blob

    def _info(self, blob: Any) -> ObjectInfo:
        return ObjectInfo(
            name=blob.name[len(self._prefix) :],
            size=int(blob.size),
            crc32c=blob.crc32c,
            generation=int(blob.generation),
            created=blob.time_created,
            metadata=blob.metadata or {},
            retain_until=blob.retention.retain_until_time,
            held=bool(blob.temporary_hold),
        )

    def _where(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _quoted(self, name: str) -> str:
        return quote(self._prefix + require_name(name), safe="")
