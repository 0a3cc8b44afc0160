"""Rollouts as rows: what the server's own index says of each, without asking any of them."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from rich.table import Table
from temporalio.client import WorkflowExecution
from temporalio.common import SearchAttributeKey

from rollout.messages import SEARCH_EXPOSURE, SEARCH_STAGE, SEARCH_STATUS
from rollout.wording import moment_in_words
from starter.rollouts import MEMO_BY, MEMO_ENVIRONMENT, name_of


class Row(BaseModel):
    """`status`, `stage` and `exposed_to` are empty where the namespace has no search attributes."""

    name: str
    run_id: str
    execution: str
    status: str
    stage: str
    exposed_to: str
    environment: str
    started_by: str
    started_at: datetime
    closed_at: datetime | None


async def rows(executions: Sequence[WorkflowExecution]) -> list[Row]:
    return [await _row(execution) for execution in executions]


def table(found: Sequence[Row]) -> Table:
    """For a terminal."""
    listed = Table("rollout", "status", "stage", "exposed to", "started", "by", box=None, pad_edge=False)
    for row in found:
        listed.add_row(
            row.name,
            row.status.replace("_", " ") or row.execution,
            row.stage,
            row.exposed_to,
            moment_in_words(row.started_at),
            row.started_by,
        )
    return listed


async def _row(execution: WorkflowExecution) -> Row:
    def attribute(name: str) -> str:
        return execution.typed_search_attributes.get(SearchAttributeKey.for_keyword(name)) or ""

    return Row(
        name=name_of(execution.id),
        run_id=execution.run_id,
        execution=execution.status.name.lower() if execution.status else "unknown",
        status=attribute(SEARCH_STATUS),
        stage=attribute(SEARCH_STAGE),
        exposed_to=attribute(SEARCH_EXPOSURE),
        environment=await execution.memo_value(MEMO_ENVIRONMENT, default=""),
        started_by=await execution.memo_value(MEMO_BY, default=""),
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )
