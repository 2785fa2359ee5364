"""What `dr velero bootstrap` applies is what the real `velero install` of that release would."""

from __future__ import annotations

from pathlib import Path

import pytest

import dr.components.cluster
from dr.components.cluster.bootstrap import PLUGIN, RELEASE
from lab.build import MODULES_DIRECTORY
from lab.veleropod import rendered

pytestmark = pytest.mark.cluster


def test_the_shipped_manifests_are_those_of_the_binary() -> None:
    shipped = Path(dr.components.cluster.__file__).parent / "assets" / "velero.yaml"
    assert shipped.read_text() == rendered(RELEASE, PLUGIN), "run: python -m lab.veleropod render"


def test_the_lab_runs_the_release_that_is_shipped() -> None:
    required = (MODULES_DIRECTORY / "velero" / "go.mod").read_text()
    assert f"github.com/vmware-tanzu/velero {RELEASE}" in required
    assert f"github.com/vmware-tanzu/velero-plugin-for-gcp {PLUGIN}" in required
