"""The experiments of a probe that change the traffic of a scratch service. Each begins with the service at rest."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Literal

import grpc
from google.cloud import run_v2

from activities.cloud_run_service import failure_of
from rollout.traffic import WHOLE
from starter.probe_calls import CallFailed
from starter.probe_report import Point, PointName, State
from starter.probe_scratch import LOOK_EVERY_SECONDS, CannotTell, ScratchService, to

_HALF = WHOLE // 2
_MEASUREMENTS = 3
_ATTEMPTS = 5
_TAG_AND_SERVICE_LONGEST = 46
_NEVER_AN_ETAG = '"never-an-etag"'

Etag = Literal["enforce", "ignore"]
Inflight = Literal["supersede", "abort"]


def _settled(name: PointName, found: str, *seen: str) -> Point:
    return Point(name=name, state=State.SETTLED, found=found, seen=seen)


def _moved(scratch: ScratchService) -> list[run_v2.TrafficTarget]:
    """A change of traffic from the base: half to the second revision, or a tag where there is only one."""
    if scratch.second_revision is None:
        return [*scratch.base, to(scratch.stable, tag="probe")]
    return [to(scratch.stable, _HALF), to(scratch.second_revision, _HALF)]


async def etag(scratch: ScratchService) -> tuple[Point, Etag]:
    """Whether an update with an etag of before the last change is refused.

    Raises:
        CallFailed: an update was refused for another reason.
        CannotTell: the service was changed by somebody else meanwhile.
    """
    before = await scratch.at_rest()
    await scratch.update(before, _moved(scratch), etag=before.etag)
    after = await scratch.settled()
    if after.etag == before.etag or after.generation != before.generation + 1:
        raise CannotTell(
            f"one change should make generation {before.generation + 1} and a new etag; there is generation "
            f"{after.generation}, etag {after.etag}: somebody else writes, or an etag means something else"
        )
    stale = await _answer(scratch, after, before.etag)
    current = await scratch.settled()
    other = await _answer(scratch, current, _NEVER_AN_ETAG)
    seen = (f"stale etag: {stale or 'accepted'}", f"made-up etag: {other or 'accepted'}")
    if stale:
        return _settled(
            PointName.ETAG, "enforce: an update with a stale etag is refused with ABORTED", *seen
        ), "enforce"
    return _settled(PointName.ETAG, "ignore: an update with a stale etag is accepted", *seen), "ignore"


async def _answer(scratch: ScratchService, known: run_v2.Service, with_etag: str) -> str | None:
    """What an update with this etag is refused with as a conflict (or as no etag at all); None where accepted."""
    try:
        await scratch.update(known, scratch.base, etag=with_etag)
    except CallFailed as failure:
        expected = [grpc.StatusCode.ABORTED]
        if with_etag == _NEVER_AN_ETAG:
            expected += [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION]
        if failure.code not in expected:
            raise
        return failure.words
    return None


async def inflight(scratch: ScratchService) -> tuple[Point, Inflight]:
    """What an update is answered with while the one before is being carried out. No etag is sent: it is not the point.

    A service that this run made has its second revision deployed meanwhile, as when a rollback meets a deployment.

    Raises:
        CallFailed: an update was refused for another reason.
        CannotTell: the first was always done before the second came.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        known = await scratch.at_rest()
        first = await _begin(scratch, known, attempt)
        wanted = [*scratch.base, to(scratch.stable, tag="second")]
        try:
            second = await scratch.update(first, wanted)
        except CallFailed as failure:
            if failure.code is not grpc.StatusCode.ABORTED:
                raise
            found = "abort: an update during another one is refused with ABORTED"
            return _settled(PointName.INFLIGHT, found, failure.words), "abort"
        done = await scratch.settled()
        if second.observed_generation >= first.generation:
            continue
        if second.generation != first.generation + 1 or list(done.traffic) != list(second.traffic):
            raise CannotTell("both updates were accepted, and then the traffic was not the second's: somebody else?")
        serves = "the second's" if not failure_of(done) else f"not the second's ({failure_of(done)})"
        found = "supersede: an update during another one is accepted and takes over"
        return _settled(PointName.INFLIGHT, found, f"in the end the observed traffic was {serves}"), "supersede"
    raise CannotTell(f"{_ATTEMPTS} times the first update was carried out before the second one came")


async def _begin(scratch: ScratchService, known: run_v2.Service, attempt: int) -> run_v2.Service:
    """An accepted change that is under way."""
    if not scratch.made_here:
        return await scratch.update(known, [*scratch.base, to(scratch.stable, tag="first")])
    name = f"{scratch.ref.service}-probe-b{attempt}"
    template = run_v2.RevisionTemplate(
        revision=name,
        containers=[
            run_v2.Container(
                image=known.template.containers[0].image, env=[run_v2.EnvVar(name="PROBE", value=str(attempt))]
            )
        ],
        scaling=run_v2.RevisionScaling(max_instance_count=1),
    )
    accepted = await scratch.update(known, [*scratch.base, to(name, tag="first")], template=template)
    scratch.second_revision = name
    return accepted


async def reconcile(scratch: ScratchService) -> tuple[Point, float]:
    """The seconds from sending a traffic-only update until it is observed.

    Raises:
        CallFailed: an update was refused.
        CannotTell: an update failed, or took too long.
    """
    measured = []
    for _ in range(_MEASUREMENTS):
        known = await scratch.at_rest()
        began = time.monotonic()
        await scratch.update(known, _moved(scratch))
        done = await scratch.settled()
        measured.append(time.monotonic() - began)
        if failure := failure_of(done):
            raise CannotTell(f"a change of traffic failed: {failure}")
    seconds = round(median(measured), 2)
    kind = "a tag added" if scratch.second_revision is None else "50 % moved"
    each = ", ".join(f"{one:.2f}" for one in measured)
    found = f"{seconds:g} s until observed, looked at every {LOOK_EVERY_SECONDS:g} s or oftener"
    return _settled(PointName.RECONCILE, found, f"{kind}: {each} s"), seconds


def refusals(scratch: ScratchService) -> dict[PointName, list[run_v2.TrafficTarget]]:
    """The wrong traffic lists whose answers are wanted."""
    stable = scratch.stable
    tag = "t" * (_TAG_AND_SERVICE_LONGEST + 1 - len(scratch.ref.service))
    return {
        PointName.TEXT_SUM: [to(stable, WHOLE - 1)],
        PointName.TEXT_DUPLICATE_TAG: [*scratch.base, to(stable, tag="twice"), to(stable, tag="twice")],
        PointName.TEXT_UNKNOWN_REVISION: [*scratch.base, to(f"{scratch.ref.service}-probe-missing", tag="probe")],
        PointName.TEXT_LONG_TAG: [*scratch.base, to(stable, tag=tag)],
    }


async def refusal(scratch: ScratchService, name: PointName, rows: Sequence[run_v2.TrafficTarget]) -> Point:
    """How a wrong traffic list is refused: asked for as a trial first, and in earnest only where the trial passes.

    Raises:
        CallFailed: nobody knows, or a right is missing.
        CannotTell: carrying it out took too long.
    """
    known = await scratch.at_rest()
    for trial in (True, False):
        try:
            await scratch.update(known, rows, validate_only=trial)
        except CallFailed as failure:
            if failure.may_pass or failure.code is grpc.StatusCode.PERMISSION_DENIED:
                raise
            how = "at once, also by validate_only" if trial else "at once, but not by validate_only"
            return _settled(name, f"refused {how}", failure.words)
    failure_text = failure_of(await scratch.settled())
    if failure_text:
        return _settled(name, "accepted, and failed while it was carried out", failure_text)
    return _settled(name, "accepted and carried out: Google has no such rule")
