"""Who may do what in Pub/Sub: one permission per method, on the resource that the request names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1 import types

from lab.cloudlog.book import LogBook
from lab.grpcproxy import Refused, bearer, status_of
from lab.iam import Iam, Unauthenticated

SERVICES = ("google.pubsub.v1.Publisher", "google.pubsub.v1.Subscriber")
Needs = tuple[tuple[str, str], ...]
"""(permission without `pubsub.`, field that names the resource; dots go into messages)."""
METHODS: Mapping[str, tuple[Any, Needs]] = {
    "CreateTopic": (types.Topic, (("topics.create", "@name"),)),
    "UpdateTopic": (types.UpdateTopicRequest, (("topics.update", "topic.name"),)),
    "Publish": (types.PublishRequest, (("topics.publish", "topic"),)),
    "GetTopic": (types.GetTopicRequest, (("topics.get", "topic"),)),
    "ListTopics": (types.ListTopicsRequest, (("topics.list", "project"),)),
    "ListTopicSubscriptions": (types.ListTopicSubscriptionsRequest, (("topics.get", "topic"),)),
    "ListTopicSnapshots": (types.ListTopicSnapshotsRequest, (("topics.get", "topic"),)),
    "DeleteTopic": (types.DeleteTopicRequest, (("topics.delete", "topic"),)),
    "DetachSubscription": (types.DetachSubscriptionRequest, (("subscriptions.update", "subscription"),)),
    "CreateSubscription": (
        types.Subscription,
        (("subscriptions.create", "@name"), ("topics.attachSubscription", "topic")),
    ),
    "GetSubscription": (types.GetSubscriptionRequest, (("subscriptions.get", "subscription"),)),
    "UpdateSubscription": (types.UpdateSubscriptionRequest, (("subscriptions.update", "subscription.name"),)),
    "ListSubscriptions": (types.ListSubscriptionsRequest, (("subscriptions.list", "project"),)),
    "DeleteSubscription": (types.DeleteSubscriptionRequest, (("subscriptions.delete", "subscription"),)),
    "ModifyAckDeadline": (types.ModifyAckDeadlineRequest, (("subscriptions.consume", "subscription"),)),
    "Acknowledge": (types.AcknowledgeRequest, (("subscriptions.consume", "subscription"),)),
    "Pull": (types.PullRequest, (("subscriptions.consume", "subscription"),)),
    "StreamingPull": (types.StreamingPullRequest, (("subscriptions.consume", "subscription"),)),
    "ModifyPushConfig": (types.ModifyPushConfigRequest, (("subscriptions.update", "subscription"),)),
    "GetSnapshot": (types.GetSnapshotRequest, (("snapshots.get", "snapshot"),)),
    "ListSnapshots": (types.ListSnapshotsRequest, (("snapshots.list", "project"),)),
    "CreateSnapshot": (
        types.CreateSnapshotRequest,
        (("snapshots.create", "@name"), ("subscriptions.consume", "subscription")),
    ),
    "UpdateSnapshot": (types.UpdateSnapshotRequest, (("snapshots.update", "snapshot.name"),)),
    "DeleteSnapshot": (types.DeleteSnapshotRequest, (("snapshots.delete", "snapshot"),)),
    "Seek": (types.SeekRequest, (("subscriptions.consume", "subscription"),)),
}
UNARY = tuple(name for name in METHODS if name != "StreamingPull")


@dataclass(frozen=True, slots=True)
class PubsubGate:
    """A `lab.grpcproxy.Gate` for Pub/Sub."""

    iam: Iam
    log: LogBook
    logged: str = ""
    """Topic of Cloud Logging's sink: what it publishes is written there too, before it is acknowledged."""

    def admit(self, caller: str, method: str, request: bytes, first: bool) -> None:
        """Refuse what the caller may not; later messages of a StreamingPull name nothing and need nothing more."""
        if not first:
            return
        if method not in METHODS:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"The lab does not know the method {method}.")
        kind, needs = METHODS[method]
        message = kind.pb().FromString(request)
        for permission, path in needs:
            self.iam.require(caller, f"pubsub.{permission}", _resource(message, path))

    def answered(self, method: str, request: bytes, response: bytes) -> None:
        """What the sink published is an entry of the living log, whoever asks for it."""
        if method == "Publish" and self.logged:
            message = types.PublishRequest.pb().FromString(request)
            if message.topic == self.logged:
                self.log.write([one.data for one in message.messages])


def _resource(message: Any, path: str) -> str:
    """What a field names; with `@`, the project that it lies in (where things are created)."""
    value = message
    for part in path.removeprefix("@").split("."):
        value = getattr(value, part)
    return "/".join(str(value).split("/")[:2]) if path.startswith("@") else str(value)


def policy_handler(iam: Iam) -> grpc.GenericRpcHandler:
    """IAMPolicy.TestIamPermissions."""
    handlers = {
        "TestIamPermissions": grpc.unary_unary_rpc_method_handler(
            _test_permissions(iam),
            request_deserializer=iam_policy_pb2.TestIamPermissionsRequest.FromString,
            response_serializer=iam_policy_pb2.TestIamPermissionsResponse.SerializeToString,
        )
    }
    return grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", handlers)


def _test_permissions(iam: Iam) -> Callable[[Any, Any], Any]:
    def handle(request: Any, context: Any) -> Any:
        try:
            caller = iam.identify(bearer(context))
        except Unauthenticated as error:
            refused = status_of(error)
            return context.abort(refused.code, refused.message)
        held = [one for one in request.permissions if iam.allowed(caller, one, request.resource)]
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    return handle
