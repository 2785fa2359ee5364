"""The admin services as gRPC handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.cloud.firestore_admin_v1 import types
from google.longrunning import operations_pb2

from lab.firestore.admin import Admin
from lab.firestore.backups import Backups
from lab.firestore.operations import Operations
from lab.grpcproxy import Refused, bearer, status_of
from lab.iam import Denied, Unauthenticated

Method = Callable[[str, Any], Any]
"""(caller, raw request) -> raw response."""


def admin_handlers(admin: Admin) -> list[grpc.GenericRpcHandler]:
    """FirestoreAdmin and google.longrunning.Operations."""
    operations, backups = Operations(admin), Backups(admin)
    listed: Mapping[str, Method] = {
        "CreateDatabase": admin.create_database,
        "GetDatabase": admin.get_database,
        "ListDatabases": admin.list_databases,
        "UpdateDatabase": admin.update_database,
        "DeleteDatabase": admin.delete_database,
        "ExportDocuments": admin.export_documents,
        "ImportDocuments": admin.import_documents,
        "CloneDatabase": admin.clone_database,
        "RestoreDatabase": backups.restore_database,
        "CreateBackupSchedule": backups.create_backup_schedule,
        "GetBackupSchedule": backups.get_backup_schedule,
        "ListBackupSchedules": backups.list_backup_schedules,
        "UpdateBackupSchedule": backups.update_backup_schedule,
        "DeleteBackupSchedule": backups.delete_backup_schedule,
        "GetBackup": backups.get_backup,
        "ListBackups": backups.list_backups,
        "DeleteBackup": backups.delete_backup,
    }
    requests = {name: getattr(types, f"{name}Request").pb() for name in listed}
    running: Mapping[str, Method] = {
        "GetOperation": operations.get_operation,
        "ListOperations": operations.list_operations,
        "CancelOperation": operations.cancel_operation,
        "DeleteOperation": operations.delete_operation,
        "WaitOperation": operations.wait_operation,
    }
    longrunning = {name: getattr(operations_pb2, f"{name}Request") for name in running}
    return [
        _service("google.firestore.admin.v1.FirestoreAdmin", listed, requests, admin),
        _service("google.longrunning.Operations", running, longrunning, admin),
    ]


def _service(
    name: str, methods: Mapping[str, Method], requests: Mapping[str, Any], admin: Admin
) -> grpc.GenericRpcHandler:
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            _answer(work, admin),
            request_deserializer=requests[method].FromString,
            response_serializer=_serialize,
        )
        for method, work in methods.items()
    }
    return grpc.method_handlers_generic_handler(name, handlers)


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _answer(work: Method, admin: Admin) -> Callable[[Any, Any], Any]:
    """A plain function: the server runs it in a thread, so it may wait."""

    def handle(request: Any, context: Any) -> Any:
        try:
            return work(admin.iam.identify(bearer(context)), request)
        except (Refused, Denied, Unauthenticated) as error:
            refused = status_of(error)
            return context.abort(refused.code, refused.message)

    return handle
