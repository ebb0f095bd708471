"""Short ranges of days that lie apart, built one after the other in one process.

A run of Dagster's has one range of days, and is a process that takes longer to start than such a
range to build. One process therefore answers several requests, each by a run of its own: pages,
attempts and failures are those of the ranges.
"""

import hashlib
from collections.abc import Iterable

import dagster as dg

from convcg_assets.builds.plan import Request
from convcg_assets.defs.jobs import APART, job_name
from convcg_assets.defs.run_lock import hold_until_exit
from convcg_assets.defs.run_log import quiet_console
from convcg_assets.defs.runs import run_tags, tagged_requests, tags_of_several
from convcg_assets.deployment import current_deployment

MAX_DAYS = 3
"""Longer ranges are worth a process, and run beside each other."""
MAX_TOGETHER = 20


def group(requests: Iterable[Request]) -> list[list[Request]]:
    """Which requests are answered together: short ranges of one table, so many at a time.

    What failed before is tried alone, in case that it was what ended the process.
    """
    groups: list[list[Request]] = []
    open_groups: dict[str, list[Request]] = {}
    for request in requests:
        if len(request.days) > MAX_DAYS or request.is_tried_again:
            groups.append([request])
            continue
        together = open_groups.get(request.table)
        if together is None or len(together) >= MAX_TOGETHER:
            together = open_groups[request.table] = []
            groups.append(together)
        together.append(request)
    return groups


def run_request(together: list[Request]) -> dg.RunRequest:
    """The run that answers requests: of the table's own job, or one that answers each in turn."""
    first = together[0]
    if len(together) == 1:
        return dg.RunRequest(
            run_key=first.key,
            run_config=quiet_console(),
            job_name=job_name(first.table),
            tags=run_tags(first),
        )
    return dg.RunRequest(
        run_key=hashlib.sha256("".join(r.key for r in together).encode()).hexdigest()[:24],
        run_config=quiet_console(),
        job_name=APART,
        tags=tags_of_several(together),
    )


@dg.op(description="Builds each range by a run of its own; fails if one of them does.")
def build_in_turn(context: dg.OpExecutionContext) -> None:
    """Answer the requests that the run's tags name."""
    hold_until_exit(current_deployment().home, context.run_id)
    failed = []
    for request in tagged_requests(context.run.tags):
        job = context.repository_def.get_job(job_name(request.table))
        done = job.execute_in_process(
            instance=context.instance,
            run_config=quiet_console(),
            tags=run_tags(request),
            raise_on_error=False,
        )
        said = "built" if done.success else "failed"
        context.log.info(f"{request.table} {request.days} {said}: run {done.run_id}")
        failed += [] if done.success else [f"{request.table} {request.days} (run {done.run_id})"]
    if failed:
        raise dg.Failure(f"not built: {', '.join(failed)}", allow_retries=False)


@dg.job(name=APART, description="Short ranges of days of a table that lie apart.")
def days_apart() -> None:
    """Build them one after the other."""
    build_in_turn()
