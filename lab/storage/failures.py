"""Errors in Google's shape: status, reason and the messages that clients and operators know."""

import json


class ApiError(Exception):
    """Ends a request with `status` and Google's JSON error body. Nothing was changed."""

    def __init__(self, status: int, reason: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status, self.reason, self.message, self.headers = status, reason, message, headers
        super().__init__(message)

    def json(self) -> bytes:
        """Body of the JSON API."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        return json.dumps({"error": {"code": self.status, "message": self.message, "errors": [detail]}}).encode()


def invalid(message: str) -> ApiError:
    """400: the request contradicts itself or the bucket's settings."""
    return ApiError(400, "invalid", message)


def no_bucket() -> ApiError:
    """404 for a bucket."""
    return ApiError(404, "notFound", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> ApiError:
    """404 for an object or one of its generations."""
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}")


def condition_not_met() -> ApiError:
    """412: a precondition failed."""
    return ApiError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def not_modified() -> ApiError:
    """304: a read with a Not-condition that did not hold."""
    return ApiError(304, "notModified", "Not Modified")


def unauthenticated(message: str) -> ApiError:
    """401: no identity."""
    return ApiError(401, "authError", message, (("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/"'),))


def forbidden(email: str, permission: str, kind: str) -> ApiError:
    """403: the identity lacks a permission on an "object", "bucket" or "project"."""
    where = "Google Cloud project" if kind == "project" else f"Google Cloud Storage {kind}"
    denied = f"Permission '{permission}' denied on resource (or it may not exist)."
    return ApiError(403, "forbidden", f"{email} does not have {permission} access to the {where}. {denied}")


def held(bucket: str, name: str, kind: str) -> ApiError:
    """403: a hold forbids it; `kind` is "Temporary" or "Event-Based"."""
    rest = "cannot be deleted, overwritten or archived until hold is removed."
    return ApiError(403, "objectUnderActiveHold", f"Object '{bucket}/{name}' is under active {kind} hold and {rest}")


def retained(bucket: str, name: str, until: str) -> ApiError:
    """403: a retention policy or an object's own retention forbids it until then (RFC 3339)."""
    rule = "is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until"
    return ApiError(403, "retentionPolicyNotMet", f"Object '{bucket}/{name}' {rule} {until}")


def retention_locked(message: str) -> ApiError:
    """403: a retention may not be shortened, unlocked or removed."""
    return ApiError(403, "retentionPolicyNotMet", message)
