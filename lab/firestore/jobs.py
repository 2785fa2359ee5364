"""The work behind long-running operations: export, import, clone, backup, restore; each in a thread of its own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from lab.firestore import framing
from lab.firestore.bucket import Bucket
from lab.firestore.emulator import Emulator, EmulatorError, Moved
from lab.firestore.world import READY, OperationRecord, World
from lab.grpcproxy import Refused

ALL = "all_namespaces/all_kinds"
ALL_LISTING = "all_namespaces_all_kinds.export_metadata"
OVERALL = ".overall_export_metadata"


class Cancelled(Exception):
    """Someone cancelled the operation."""


@dataclass(slots=True)
class Jobs:
    """Runs operations. While `gate` is cleared (the lab's control does that) they wait before their end."""

    world: World
    emulator: Emulator
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def root(self, database: str) -> str:
        return f"projects/{self.world.project}/databases/{database}"

    def start(
        self, operation: OperationRecord, work: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> None:
        """In the background; the outcome lands in `operation`. `undo` after a failure or cancellation."""
        threading.Thread(target=self._run, args=(operation, work, undo), name=operation.id, daemon=True).start()

    def _run(self, operation: OperationRecord, work: Callable[[], None], undo: Callable[[], None] | None) -> None:
        code, message = _code(grpc.StatusCode.INTERNAL), "Internal error encountered."
        try:
            code, message = _outcome(work)
            if code and undo is not None:
                undo()
        finally:  # an operation never stays under way for good; what was not foreseen is in the log
            with self.world.changing():
                operation.code, operation.message, operation.ended = code, message, time.time()

    def _tick(self, operation: OperationRecord) -> Callable[[int, int], None]:
        def advanced(documents: int, size: int) -> None:
            operation.documents += documents
            operation.size += size
            self.check(operation)

        return advanced

    def check(self, operation: OperationRecord) -> None:
        """Raise Cancelled when it is; wait while the lab holds operations."""
        while not operation.cancelled and not self.gate.wait(0.05):
            pass
        if operation.cancelled:
            raise Cancelled

    def wanted(self, operation: OperationRecord, root: str, at_ns: int | None) -> Iterator[Any]:
        """Documents of `root` at an instant; of the operation's collections when it names some."""
        for collection in operation.collections or [""]:
            yield from self.emulator.read(root, at_ns, collection)

    @contextmanager
    def scratch(self, database: str) -> Iterator[tuple[str, str]]:
        """(project, root) of a database in a project that nobody sees; cleared afterwards."""
        project = framing.scratch_project(self.world.project)
        root = f"projects/{project}/databases/{database}"
        try:
            yield project, root
        finally:
            self.emulator.clear(root)

    def export_files(self, operation: OperationRecord, database: str, at_ns: int | None, folder: Path) -> None:
        """The export of `database` at an instant, as files in `folder` that bears its name."""
        operation.documents_total = self.emulator.count(self.root(database), at_ns)
        if not operation.collections:
            self._one_export(operation, database, at_ns, "", folder)
            return
        parts = []
        for collection in operation.collections:
            part = folder / collection
            self._one_export(operation, database, at_ns, collection, part)
            listing = f"all_namespaces/kind_{collection}/all_namespaces_kind_{collection}.export_metadata"
            (folder / listing).parent.mkdir(parents=True)
            for file in (part / ALL).iterdir():
                target = folder / listing if file.name == ALL_LISTING else (folder / listing).parent / file.name
                file.rename(target)
            parts.append((listing, part / f"{collection}{OVERALL}"))
        framing.combine(folder / f"{folder.name}{OVERALL}", parts)
        for collection in operation.collections:
            shutil.rmtree(folder / collection)

    def _one_export(
        self, operation: OperationRecord, database: str, at_ns: int | None, collection: str, folder: Path
    ) -> None:
        with self.scratch(database) as (project, root):
            moved = Moved(self.root(database), root)
            source = self.emulator.read(self.root(database), at_ns, collection)
            stopped = False
            try:
                self.emulator.write(root, map(moved.rename, source), self._tick(operation))
            except Cancelled:
                stopped = True  # what was read so far is left behind, as a cancelled export does
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.emulator.export(root, folder.parent, folder.name)
        for output in folder.rglob("output-*"):
            framing.repatch(output, project, self.world.project)
        if stopped:
            raise Cancelled

    def export(self, operation: OperationRecord, bucket: Bucket, prefix: str, at_ns: int | None, work: Path) -> None:
        """To the bucket; metadata last, so that a cancelled export is one without."""
        folder = work / prefix.rpartition("/")[2]
        try:
            self.export_files(operation, operation.database, at_ns, folder)
            self.check(operation)
            self._upload(bucket, prefix, folder, lambda _: True)
        except Cancelled:
            self._upload(bucket, prefix, folder, lambda file: file.name.startswith("output-"))
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _upload(self, bucket: Bucket, prefix: str, folder: Path, chosen: Callable[[Path], bool]) -> None:
        files = [path for path in folder.rglob("*") if path.is_file() and chosen(path)]
        for path in sorted(
            files, key=lambda path: (not path.name.startswith("output-"), path.name.endswith(OVERALL), path)
        ):
            bucket.upload(f"{prefix}/{path.relative_to(folder)}", path)

    def import_(
        self, operation: OperationRecord, bucket: Bucket, names: Iterable[str], prefix: str, work: Path
    ) -> None:
        """From the bucket into a database: same names are overwritten, other documents stay."""
        folder = work / prefix.rpartition("/")[2]
        try:
            for name in names:
                bucket.download(name, folder / name[len(prefix) + 1 :])
                self.check(operation)
            self.load(operation, folder, self.root(operation.database))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def load(self, operation: OperationRecord, folder: Path, destination: str) -> None:
        """The export in `folder` into `destination`. The emulator's own reader decodes it, under a scratch project."""
        overall = folder / f"{folder.name}{OVERALL}"
        outputs = sorted(path for path in folder.rglob("output-*") if path.stat().st_size)
        promised = framing.promised(overall)
        if not promised:
            return
        if not outputs:
            raise framing.Unreadable(f"it counts {promised} documents and has none")
        first = outputs[0]
        project, database = framing.find_database(first.read_bytes())
        scratch = framing.scratch_project(project)
        root = f"projects/{scratch}/databases/{database}"
        for output in outputs:
            framing.repatch(output, project, scratch)
        try:
            self.emulator.load(root, overall)
            operation.documents_total = self.emulator.count(root, None)
            if operation.documents_total != promised:
                raise framing.Unreadable(f"it counts {promised} documents and has {operation.documents_total}")
            self._into(operation, root, f"projects/{project}/databases/{database}", destination, None)
        finally:
            self.emulator.clear(root)

    def _into(
        self, operation: OperationRecord, source: str, referred: str, destination: str, at_ns: int | None
    ) -> None:
        """Copy; references into `referred` point into `destination` afterwards."""
        moved = Moved(source, destination, references=referred)
        documents = map(moved.rename, self.wanted(operation, source, at_ns))
        self.emulator.write(destination, documents, self._tick(operation))
        self.check(operation)

    def clone(self, operation: OperationRecord, source: str, at_ns: int) -> None:
        """`source` at an instant into the operation's database, which becomes readable at the end."""
        root, destination = self.root(source), self.root(operation.database)
        operation.documents_total = self.emulator.count(root, at_ns)
        self._into(operation, root, root, destination, at_ns)
        self._ready(operation)

    def restore(self, operation: OperationRecord, backup: Path, work: Path) -> None:
        """A backup into the operation's database, which becomes readable at the end."""
        try:
            shutil.copytree(backup, work / backup.name)
            self.load(operation, work / backup.name, self.root(operation.database))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self._ready(operation)

    def _ready(self, operation: OperationRecord) -> None:
        with self.world.changing():
            self.world.databases[operation.database].state = READY

    def drop(self, database: str) -> None:
        """Undo of a clone or restore: the half-made database goes."""
        with self.world.changing():
            self.world.databases.pop(database, None)
        self.emulator.clear(self.root(database))


def _outcome(work: Callable[[], None]) -> tuple[int, str]:
    """gRPC code and message; 0 is success."""
    try:
        work()
    except Cancelled:
        return _code(grpc.StatusCode.CANCELLED), "The operation was cancelled."
    except Refused as error:
        return _code(error.code), error.message
    except framing.Unreadable as error:
        return _code(grpc.StatusCode.INVALID_ARGUMENT), f"The export could not be read: {error}"
    except grpc.RpcError as error:
        return _code(error.code()), str(error.details())
    except (EmulatorError, OSError, ValueError) as error:
        return _code(grpc.StatusCode.INTERNAL), str(error)
    return 0, ""


def _code(code: grpc.StatusCode) -> int:
    return int(code.value[0])
