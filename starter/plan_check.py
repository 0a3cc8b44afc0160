"""`rollout plan check`: the worker's trial of a plan's gates, from here and before there is a rollout."""

from datetime import UTC, datetime

from activities.gate_trial import try_gates
from activities.monitoring import CloudMonitoring
from config.settings import Settings
from rollout.gate_trial import GateFinding
from rollout.measurement import SourceFailure
from rollout.plan import RolloutPlan
from starter.findings import Finding
from starter.google_access import google_for
from starter.outcome import failed
from starter.plan_needs import needs_of


async def checked(plan: RolloutPlan, settings: Settings) -> tuple[list[GateFinding], list[Finding]]:
    """A finding for each gate that some stage uses, in the order of the plan; and one for what else its checks need.

    Raises:
        CommandEnds: there are no credentials to ask with, or the monitoring system failed.
    """
    async with google_for(settings) as google:
        try:
            gates = await try_gates(plan, CloudMonitoring(google.metrics), datetime.now(UTC))
        except SourceFailure as failure:
            raise failed(str(failure)) from failure
        return gates, await needs_of(plan, google)


async def needed(plan: RolloutPlan, settings: Settings) -> list[Finding]:
    """What the checks of a plan need besides its metrics.

    Raises:
        CommandEnds: there are no credentials to ask with.
    """
    async with google_for(settings) as google:
        return await needs_of(plan, google)
