"""What an answer of the API server means: one that has just started refuses for lack of roles, which passes."""

from __future__ import annotations

import json

import pytest

from dr.errors import NOT_AUTHORISED, UNAVAILABLE, DrError
from dr.vendors.kubernetes_transport import failure

REFUSED = 'namespaces "drill-1" is forbidden: User "u" cannot get resource "namespaces" in API group ""'
ROLE = "clusterrole.rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("reason", "kind", "temporary"),
    [
        ("", NOT_AUTHORISED, False),
        (f': RBAC: {ROLE} "dr-restore" not found', NOT_AUTHORISED, False),
        (f': RBAC: [{ROLE} "system:discovery" not found, {ROLE} "dr-restore" not found]', UNAVAILABLE, True),
        (f': RBAC: [{ROLE} "dr-restore" not found, {ROLE} "system:basic-user" not found]', UNAVAILABLE, True),
    ],
)
def test_a_server_that_has_not_read_its_roles_is_asked_again(reason: str, kind: object, temporary: bool) -> None:
    error = failure(403, json.dumps({"message": REFUSED + reason}).encode(), "get namespaces drill-1")
    assert isinstance(error, DrError)
    assert error.kind is kind
    assert error.temporary is temporary
