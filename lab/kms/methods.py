"""The service as gRPC handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.cloud.kms_v1 import types
from google.iam.v1 import iam_policy_pb2

from lab.grpcproxy import Refused, bearer, status_of
from lab.iam import Denied, Iam, Unauthenticated
from lab.kms.service import Method, Service


def handlers(service: Service) -> list[grpc.GenericRpcHandler]:
    """KeyManagementService and google.iam.v1.IAMPolicy."""
    requests = {name: getattr(types, f"{name}Request").pb() for name in service.methods}
    policy = {"TestIamPermissions": service.test_iam_permissions}
    asked = {"TestIamPermissions": iam_policy_pb2.TestIamPermissionsRequest}
    return [
        _service("google.cloud.kms.v1.KeyManagementService", service.methods, requests, service.iam),
        _service("google.iam.v1.IAMPolicy", policy, asked, service.iam),
    ]


def _service(name: str, methods: Mapping[str, Method], requests: Mapping[str, Any], iam: Iam) -> grpc.GenericRpcHandler:
    made = {
        method: grpc.unary_unary_rpc_method_handler(
            _answer(work, iam),
            request_deserializer=requests[method].FromString,
            response_serializer=lambda message: bytes(message.SerializeToString()),
        )
        for method, work in methods.items()
    }
    return grpc.method_handlers_generic_handler(name, made)


def _answer(work: Method, iam: Iam) -> Callable[[Any, Any], Any]:
    """A plain function: the server runs it in a thread."""

    def handle(request: Any, context: Any) -> Any:
        try:
            return work(iam.identify(bearer(context)), request)
        except (Refused, Denied, Unauthenticated) as error:
            refused = status_of(error)
            return context.abort(refused.code, refused.message)

    return handle
