"""400 days of the four rows on virtual time (goal < 60 s): the worst age of each row, and the worst that nobody could have avoided."""

from __future__ import annotations

import time

from benchmarks.measure import report
from tests.unit.simulated import found, rpo_of
from tests.unit.simulation import AUDIT, CONFIG, Simulation, Weather

DAYS = 400.0
SEED = 20250528


def main() -> None:
    began, used = time.perf_counter(), time.process_time()
    weather = Weather(SEED, DAYS)
    rows = Simulation(weather).run()
    judged = found(rows)
    took, used = time.perf_counter() - began, time.process_time() - used
    slotted = {
        source.component: {
            "rpo_s": rpo_of(source).total_seconds(),
            "committed": findings.committed,
            "failed": findings.failed,
            "worst_age_s": round(findings.worst, 1),
            "worst_unavoidable_s": round(findings.least_worst, 1),
            "missed": findings.missed,
            "missed_that_could_have_been_kept": len(findings.avoidable),
            "committed_twice": findings.doubles,
        }
        for source, findings in judged.items()
    }
    followed = {
        source.component: {
            "worst_watermark_lag_s": round(rows[source].lag_s, 1),
            "longest_outage_s": round(max(span.ends - span.begins for span in weather.blocked[source].all), 1),
            "packs": rows[source].committed,
        }
        for source in (CONFIG, AUDIT)
    }
    faults = {
        "store_outages": len(weather.store.all),
        "leaders_killed": len(weather.kills),
        "api_server_or_all_replicas_away": len(weather.away.all),
        "slow_spells": len(weather.slow.all),
    }
    result = {"days": DAYS, "seed": SEED, "wall_s": round(took, 1), "processor_s": round(used, 1), "goal_s": 60.0}
    report("simulation", {**result, "faults": faults, "rows": {**slotted, **followed}})


if __name__ == "__main__":
    main()
