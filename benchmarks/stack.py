"""A lab for benchmarks, through its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dr.ports import ObjectStore
from dr.stores.opening import open_store
from dr.vendors.google import GoogleAccess
from lab.stage import lab_strategy
from lab.state import Lab


@dataclass(frozen=True, slots=True)
class DataLab:
    """A running lab."""

    directory: Path
    state: Lab

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def environment(self) -> Mapping[str, str]:
        strategy = self.directory / "strategy.yaml"
        return {"DR_CONFIG": str(self.directory / "dr.yaml"), "DR_STRATEGY": str(strategy), "GRPC_VERBOSITY": "NONE"}

    def store(self, bucket: str) -> ObjectStore:
        """As the operator."""
        access = GoogleAccess(
            credentials_file=self.state.key("operator"),
            storage_endpoint=self.state.endpoints["storage"],
            ca_file=self.state.ca,
        )
        return open_store(f"gs://{bucket}", access)


@contextmanager
def data_lab(directory: Path, *more: str) -> Iterator[DataLab]:
    """Up, and down again. `more`: flags of `lab up` (default: the data plane only)."""
    flags = more or ("--only", "data")
    lab(directory, "up", *flags, "--snapshot-granularity", "1")
    try:
        (directory / "strategy.yaml").write_text(lab_strategy(1.0))
        yield DataLab(directory, Lab.load(directory))
    finally:
        lab(directory, "down")


def lab(directory: Path, verb: str, *more: str) -> None:
    """`python -m lab VERB`."""
    argv = [sys.executable, "-m", "lab", verb, "--dir", str(directory), *more]
    subprocess.run(argv, check=True, env=os.environ, stdout=sys.stderr)
