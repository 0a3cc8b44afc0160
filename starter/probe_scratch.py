"""The one service that a probe may change: found by its label, changed in its traffic only, and put back.

Before every write the service as it was just read or answered is looked at: without our label, or as another service
of the same name, it is left alone.
"""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress

import grpc
from google.cloud import run_v2

from activities.cloud_run_service import failure_of, is_settled
from rollout.traffic import WHOLE, ServiceRef
from starter.probe_calls import READ_SECONDS, WRITE_SECONDS, CallFailed, Calls
from starter.probe_report import SCRATCH_LABEL, SCRATCH_VALUE, Cleanup

RUN_LABEL = "rollout-probe-run"
"""Whose run made a service: only that one deletes it."""
LOOK_EVERY_SECONDS = 0.25
"""The longest pause between two looks; the first ones are closer, for what is done at once."""
_FIRST_PAUSE_SECONDS = 0.05
SETTLES_WITHIN_SECONDS = 330.0
"""A container may take four minutes to start."""
CLEAN_WITHIN_SECONDS = 180.0
_APPEARS_WITHIN_SECONDS = 10.0
_PAUSE_SECONDS = 0.5

_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION

Rows = Sequence[run_v2.TrafficTarget]


class CannotTell(Exception):  # noqa: N818  (an outcome of an experiment)
    """An experiment that did not come to an answer; the text says why."""


def to(revision: str, percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=_REVISION, revision=revision, percent=percent, tag=tag)


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LOOK_EVERY_SECONDS)


def is_scratch(service: run_v2.Service) -> bool:
    return service.labels.get(SCRATCH_LABEL) == SCRATCH_VALUE


class ScratchService:
    def __init__(self, services: run_v2.ServicesAsyncClient, ref: ServiceRef, calls: Calls) -> None:
        self.ref = ref
        self.second_revision: str | None = None
        self._services = services
        self._calls = calls
        self._run_id = uuid.uuid4().hex[:12]
        self.made_here = False
        self._uid: str | None = None
        self._generation = 0
        self._original: tuple[run_v2.TrafficTarget, ...] = ()
        self.stable = ""

    async def read(self) -> run_v2.Service:
        """The service as it is.

        Raises:
            CallFailed: it could not be read.
        """
        return await self._calls.read(
            "GetService",
            self._services.get_service(
                request=run_v2.GetServiceRequest(name=self.ref.resource_name), retry=None, timeout=READ_SECONDS
            ),
        )

    async def find(self) -> run_v2.Service | None:
        """As `read`; None where there is no such service."""
        try:
            return await self.read()
        except CallFailed as failure:
            if failure.code is grpc.StatusCode.NOT_FOUND:
                return None
            raise

    async def adopt(self) -> None:
        """Take the labelled service as it is: its present traffic is what it gets back.

        Raises:
            CannotTell: it is not ours to change, or in no state to be tried on.
        """
        service = await self.read()
        self._require_ours(service)
        if not is_settled(service) or failure_of(service) or not service.latest_ready_revision:
            raise CannotTell(f"{self.ref.service} is being changed, or its last change failed: nothing is tried on it")
        self._remember(service)

    async def create(self, image: str) -> None:
        """Make the service, reachable for nobody from outside, with one instance at most.

        Raises:
            CallFailed: refused, or nobody knows: `clean_up` looks for it.
            CannotTell: it did not become ready.
        """
        self.made_here = True
        service = run_v2.Service(
            labels={SCRATCH_LABEL: SCRATCH_VALUE, RUN_LABEL: self._run_id},
            ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
            template=run_v2.RevisionTemplate(
                revision=f"{self.ref.service}-probe-a",
                containers=[run_v2.Container(image=image)],
                scaling=run_v2.RevisionScaling(max_instance_count=1),
            ),
        )
        parent, _, _ = self.ref.resource_name.partition("/services/")
        try:
            await self._calls.write(
                "CreateService",
                self._services.create_service(
                    request=run_v2.CreateServiceRequest(parent=parent, service_id=self.ref.service, service=service),
                    retry=None,
                    timeout=WRITE_SECONDS,
                ),
            )
        except CallFailed as failure:
            self.made_here = failure.may_pass
            raise
        made = await self.settled()
        if why := failure_of(made):
            raise CannotTell(f"the scratch service did not become ready: {why}")
        self._remember(made)

    def _remember(self, service: run_v2.Service) -> None:
        self._uid = service.uid
        self._original = tuple(service.traffic) or (run_v2.TrafficTarget(type_=_LATEST, percent=WHOLE),)
        self.stable = service.latest_ready_revision.rpartition("/")[2]

    @property
    def base(self) -> list[run_v2.TrafficTarget]:
        """Everything to one revision, by its name: where every experiment begins."""
        return [to(self.stable, WHOLE)]

    async def update(
        self,
        known: run_v2.Service,
        traffic: Rows,
        *,
        etag: str = "",
        template: run_v2.RevisionTemplate | None = None,
        validate_only: bool = False,
    ) -> run_v2.Service:
        """Ask for `traffic`; the service as Cloud Run accepted it. `known` is it as it was seen just before.

        Raises:
            CallFailed: refused, or nobody knows.
            CannotTell: `known` is not ours to change.
        """
        self._require_ours(known)
        update = run_v2.Service(name=self.ref.resource_name, etag=etag, traffic=list(traffic))
        paths = ["traffic"]
        if template is not None:
            update.template = template
            paths.append("template")
        operation = await self._calls.write(
            "UpdateService",
            self._services.update_service(
                request=run_v2.UpdateServiceRequest(
                    service=update, update_mask={"paths": paths}, validate_only=validate_only
                ),
                retry=None,
                timeout=WRITE_SECONDS,
            ),
        )
        accepted: run_v2.Service | None = operation.metadata
        if validate_only:
            return known
        service = accepted or await self.read()
        self._generation = service.generation
        return service

    async def settled(self) -> run_v2.Service:
        """The service once Cloud Run is done with its last change, well or badly; calls that fail are tried again.

        Raises:
            CannotTell: not in time.
            CallFailed: reading it is refused.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLES_WITHIN_SECONDS):
                for pause in _pauses():
                    service = await self._read_if_answered()
                    if service is not None and is_settled(service) and service.generation >= self._generation:
                        return service
                    await asyncio.sleep(pause)
        raise CannotTell(f"{self.ref.service} was not settled after {SETTLES_WITHIN_SECONDS:g} s")

    async def _read_if_answered(self) -> run_v2.Service | None:
        """The service now; None where reading it failed for a reason that may pass."""
        try:
            return await self.read()
        except CallFailed as failure:
            if not failure.may_pass:
                raise
            return None

    async def at_rest(self) -> run_v2.Service:
        """The service with all traffic at one revision and nothing on its way."""
        service = await self.settled()
        if list(service.traffic) == self.base and not failure_of(service):
            return service
        await self.update(service, self.base)
        return await self.settled()

    def _require_ours(self, service: run_v2.Service) -> None:
        if not is_scratch(service):
            raise CannotTell(f"{self.ref.service} has no label {SCRATCH_LABEL}={SCRATCH_VALUE}: it is left alone")
        if self._uid is not None and service.uid != self._uid:
            raise CannotTell(f"{self.ref.service} is another service of the same name by now: it is left alone")

    async def clean_up(self, *, keep: bool) -> Cleanup:
        """Put the traffic back, or delete what this run made; tries again until it is seen to be done. Never raises
        for what Google answers.
        """
        if not self.made_here and not self._original:
            return Cleanup(done=True, text="Nothing was changed.")
        why = "it was not done in time"
        try:
            async with asyncio.timeout(CLEAN_WITHIN_SECONDS):
                while True:
                    try:
                        return await (self._delete() if self.made_here and not keep else self._put_back())
                    except CallFailed as failure:
                        why = str(failure)
                        if not failure.may_pass:
                            break
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            pass
        except CannotTell as reason:
            why = str(reason)
        return Cleanup(done=False, text=f"NOT CLEANED UP: {why}. By hand: {self._by_hand(keep=keep)}")

    async def _delete(self) -> Cleanup:
        service = await self._appeared()
        if service is None:
            return Cleanup(done=True, text=f"{self.ref.service} is not there.")
        if not is_scratch(service) or service.labels.get(RUN_LABEL) != self._run_id:
            return Cleanup(done=True, text=f"{self.ref.service} was not made by this run, and is left alone.")
        await self._calls.write(
            "DeleteService",
            self._services.delete_service(
                request=run_v2.DeleteServiceRequest(name=self.ref.resource_name), retry=None, timeout=WRITE_SECONDS
            ),
        )
        for pause in _pauses():
            if await self.find() is None:
                break
            await asyncio.sleep(pause)
        return Cleanup(done=True, text=f"{self.ref.service} is deleted, and seen to be gone.")

    async def _appeared(self) -> run_v2.Service | None:
        """A creation whose answer was lost may show a little later; once the service was seen, absence is absence."""
        looks = 1 if self._uid is not None else round(_APPEARS_WITHIN_SECONDS / _PAUSE_SECONDS)
        for look in range(looks):
            if look:
                await asyncio.sleep(_PAUSE_SECONDS)
            service = await self.find()
            if service is not None:
                self._uid = service.uid
                return service
        return None

    async def _put_back(self) -> Cleanup:
        kept = "is kept, with" if self.made_here else "has"
        service = await self.settled()
        self._require_ours(service)
        if self._original and (tuple(service.traffic) != self._original or failure_of(service)):
            await self.update(service, self._original)
            service = await self.settled()
            if tuple(service.traffic) != self._original or failure_of(service):
                raise CannotTell(f"{self.ref.service} does not have its traffic as before: {failure_of(service)}")
        return Cleanup(done=True, text=f"{self.ref.service} {kept} its traffic as it was before.")

    def _by_hand(self, *, keep: bool) -> str:
        where = f"--project={self.ref.project} --region={self.ref.region}"
        if self.made_here and not keep:
            return f"gcloud run services delete {self.ref.service} {where}"
        return f"gcloud run services update-traffic {self.ref.service} {where} --to-revisions={self._split()}"

    def _split(self) -> str:
        return ",".join(f"{row.revision or 'LATEST'}={row.percent}" for row in self._original if row.percent)
