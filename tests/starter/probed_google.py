"""A scratch service in a sandbox, and `rollout probe-google` asked about it."""

import asyncio
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud import run_v2

from config.settings import Settings
from rollout.traffic import ServiceRef
from starter.probe_report import PointName, Report
from starter.probe_run import Wanted, probe
from tests.sandbox.google import NAME, OLD_IMAGE, PARENT, PROJECT, REGION, Google, result_of, template_of, to_latest
from tests.starter.command_line import Ran, rollout

SCRATCH = "scratch"
SCRATCH_NAME = f"{PARENT}/services/{SCRATCH}"
TIMING: dict[str, Any] = {
    "sample_seconds": 0.2,
    "ingest_delay_seconds": 0.1,
    "reconcile_seconds": 0.1,
    "past_traffic_seconds": 3.0,  # what is read back is drawn point by point
}
WHERE = ("--project", PROJECT, "--region", REGION)


def environment_of(google: Google) -> dict[str, str]:
    return {"ROLLOUT_GOOGLE_ENDPOINT": google.sandbox.grpc_target}


async def typed(google: Google, *arguments: object, stdin: str | None = None) -> Ran:
    return await asyncio.to_thread(
        rollout, "probe-google", *WHERE, *arguments, environment=environment_of(google), stdin=stdin
    )


async def probed(
    google: Google,
    *,
    service: str = SCRATCH,
    image: str | None = OLD_IMAGE,
    keep: bool = False,
    within_seconds: float = 60.0,
    tell: Any = lambda _: None,
) -> Report:
    """A probe in this process, of a service it creates unless `image` is None."""
    wanted = Wanted(
        ref=ServiceRef(key=service, project=PROJECT, region=REGION, service=service),
        image=image,
        keep=keep,
        read_only=False,
        within_seconds=within_seconds,
    )
    return await probe(wanted, Settings.from_environment(environment_of(google)), tell)


async def bytes_of(google: Google, name: str = NAME) -> bytes:
    return bytes(run_v2.Service.serialize(await google.service(name)))


async def is_gone(google: Google) -> bool:
    try:
        await google.service(SCRATCH_NAME)
    except NotFound:
        return True
    return False


async def labelled(google: Google) -> run_v2.Service:
    """A scratch service of the user's own, that follows its latest revision."""
    service = run_v2.Service(
        labels={"rollout-probe": "scratch", "team": "shop"},
        template=template_of(OLD_IMAGE),
        traffic=[to_latest(100)],
    )
    await result_of(await google.services.create_service(parent=PARENT, service_id=SCRATCH, service=service))
    return await google.service(SCRATCH_NAME)


def found(report: Report, name: PointName) -> str:
    return next(point.found for point in report.points if point.name is name)
