"""The config component, wired."""

from __future__ import annotations

from functools import cache

from dr.changelog.seal import Sealer
from dr.components.config.access import LOG, PACK
from dr.components.config.following import ConfigFollower
from dr.components.config.guarding import ConfigGuard
from dr.components.config.living import LivingConfig
from dr.components.config.packing import ConfigPackInspector
from dr.components.config.reading import coverage
from dr.components.config.ready import check_ready
from dr.components.config.restorer import ConfigRestorer
from dr.components.config.source import ConfigSource
from dr.components.wiring import Kit, Wiring
from dr.model.strategy import SourceSpec
from dr.ports import ObjectStore


def kit(wiring: Wiring) -> Kit:
    """Nothing is contacted before the first call."""

    @cache
    def sealer() -> Sealer | None:
        keys = wiring.keys()
        return Sealer(keys) if keys else None

    @cache
    def vault() -> ObjectStore:
        return wiring.open_store(wiring.settings.vault("config").url)

    def follower(spec: SourceSpec) -> ConfigFollower:
        return ConfigFollower(wiring.kubernetes(), spec, wiring.clock, sealer())

    def source(spec: SourceSpec) -> ConfigSource:
        return ConfigSource(follower(spec))

    restorers = tuple(
        ConfigRestorer(wiring.kubernetes(), sealer, vault, wiring.clock, method, wiring.erasures)
        for method in (LOG, PACK)
    )
    return Kit(
        source=source,
        inspectors=(ConfigPackInspector(),),
        restorers=restorers,
        witness=LivingConfig(source, wiring.clock),
        guard=ConfigGuard(wiring.kubernetes(), sealer),
        ready=lambda spec: check_ready(spec, wiring.kubernetes()),
        follower=follower,
        coverage=coverage,
    )
