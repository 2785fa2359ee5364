"""google.longrunning.Operations over what the front remembers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from lab.firestore.admin import INVALID, PRECONDITION, Admin
from lab.firestore.world import OperationRecord
from lab.grpcproxy import Refused

_NAME = re.compile(r"(projects/[^/]+/databases/[^/]+)/operations/([^/]+)")
POLL_S, LONGEST_WAIT_S = 0.02, 60
DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class Operations:
    """Methods as in `Admin`."""

    admin: Admin

    def _find(self, caller: str, verb: str, name: str) -> OperationRecord:
        found = _NAME.fullmatch(name)
        if found is None:
            raise Refused(INVALID, f"Invalid resource name: {name!r}.")
        database = self.admin.database_id(found[1])
        self.admin.require(caller, f"operations.{verb}", database)
        record = self.admin.world.operations.get(found[2])
        if record is None or record.database != database:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Operation {name} does not exist.")
        return record

    def get_operation(self, caller: str, request: Any) -> Any:
        return self.admin.operation(self._find(caller, "get", request.name))

    def list_operations(self, caller: str, request: Any) -> Any:
        """Of one database, oldest first; a filter on `done` is understood, the token is an offset."""
        database = self.admin.database_id(request.name.removesuffix("/operations"))
        self.admin.require(caller, "operations.list", database)
        records = [one for one in self.admin.world.operations.values() if one.database == database]
        wanted = re.search(r"done\s*[=:]\s*(true|false)", request.filter)
        if wanted:
            records = [one for one in records if (one.ended is not None) == (wanted[1] == "true")]
        start, size = int(request.page_token or 0), request.page_size or DEFAULT_PAGE
        more = str(start + size) if start + size < len(records) else ""
        page = [self.admin.operation(record) for record in records[start : start + size]]
        return operations_pb2.ListOperationsResponse(operations=page, next_page_token=more)

    def cancel_operation(self, caller: str, request: Any) -> Any:
        record = self._find(caller, "cancel", request.name)
        record.cancelled = record.cancelled or record.ended is None
        return empty_pb2.Empty()

    def delete_operation(self, caller: str, request: Any) -> Any:
        record = self._find(caller, "delete", request.name)
        if record.ended is None:
            raise Refused(PRECONDITION, "A running operation cannot be deleted.")
        with self.admin.world.changing():
            self.admin.world.operations.pop(record.id, None)
        return empty_pb2.Empty()

    def wait_operation(self, caller: str, request: Any) -> Any:
        record = self._find(caller, "get", request.name)
        asked = request.timeout.seconds + request.timeout.nanos / 1e9 if request.HasField("timeout") else LONGEST_WAIT_S
        deadline = time.monotonic() + min(asked, LONGEST_WAIT_S)
        while record.ended is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.admin.operation(record)
