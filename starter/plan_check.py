"""`rollout plan check`: the worker's trial of a plan's gates, from here and before there is a rollout."""

from datetime import UTC, datetime

from google.auth.exceptions import GoogleAuthError

from activities.gate_trial import try_gates
from activities.google_clients import google_clients
from activities.monitoring import CloudMonitoring
from config.settings import Settings
from rollout.gate_trial import GateFinding
from rollout.measurement import SourceFailure
from rollout.plan import RolloutPlan
from starter.outcome import failed


async def checked(plan: RolloutPlan, settings: Settings) -> list[GateFinding]:
    """A finding for each gate that some stage uses, in the order of the plan.

    Raises:
        CommandEnds: there are no credentials to ask with, or the monitoring system failed.
    """
    try:
        google = google_clients(settings.google_endpoint)
    except GoogleAuthError as failure:
        raise failed(f"Cloud Monitoring cannot be asked: {failure}") from failure
    try:
        return await try_gates(plan, CloudMonitoring(google.metrics), datetime.now(UTC))
    except SourceFailure as failure:
        raise failed(str(failure)) from failure
    finally:
        await google.close()
