"""CronJobs as items for JSON and as a sheet."""

from __future__ import annotations

from collections.abc import Sequence

from dr.report.envelope import Item
from dr.report.sheet import Sheet, Tone, cell, columns_of
from dr.schedules.jobs import Job


def job_item(job: Job) -> Item:
    return {
        "name": job.name,
        "schedule": job.schedule,
        "command": f"dr {' '.join(job.args)}",
        "identity": job.identity,
        "deadline_s": job.deadline.total_seconds(),
        "suspended": job.suspended,
        "why": job.why,
    }


def jobs_sheet(jobs: Sequence[Job], *, wide: bool = False) -> Sheet:
    """`wide`: with the reasons."""
    rows = tuple(
        (
            cell(job.name),
            cell(job.schedule),
            cell(f"dr {' '.join(job.args)}"),
            cell(job.identity),
            cell("suspended" if job.suspended else "", Tone.DIM),
            *((cell(job.why),) if wide else ()),
        )
        for job in jobs
    )
    titles = ("name", "schedule (UTC)", "command", "as", "", *(("why",) if wide else ()))
    return Sheet(columns_of(*titles), rows, empty="no CronJob")
