"""`python -m lab.database ENDPOINT LAB CA`: the production database, with point-in-time recovery and delete protection on."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPIError
from google.cloud.firestore_admin_v1 import FirestoreAdminClient
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport
from google.cloud.firestore_admin_v1.types import Database

from lab.iam import Iam
from lab.state import DATABASE, PROJECT, REGION


def main(endpoint: str, directory: str, ca: str) -> None:
    """Made by the operator; one that exists already is as good."""
    call = grpc.access_token_call_credentials(Iam.open(Path(directory)).token("operator"))
    tls = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(Path(ca).read_bytes()), call)
    database = Database(
        type_=Database.DatabaseType.FIRESTORE_NATIVE,
        location_id=REGION,
        concurrency_mode=Database.ConcurrencyMode.OPTIMISTIC,
        point_in_time_recovery_enablement=Database.PointInTimeRecoveryEnablement.POINT_IN_TIME_RECOVERY_ENABLED,
        delete_protection_state=Database.DeleteProtectionState.DELETE_PROTECTION_ENABLED,
    )
    with grpc.secure_channel(endpoint, tls) as channel:
        client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))
        request = {"parent": f"projects/{PROJECT}", "database": database, "database_id": DATABASE}
        try:
            client.create_database(request=request, timeout=30).result(timeout=30)
        except AlreadyExists:
            return
        except GoogleAPIError as error:
            sys.exit(f"database {DATABASE} could not be made: {error}")


main(*sys.argv[1:])
