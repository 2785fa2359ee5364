"""Set before anything imports gRPC: its fork handlers abort children that a test starts after it used a client."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from hypothesis import settings

settings.register_profile("dr", deadline=None)  # a busy machine is no failure
settings.load_profile("dr")
