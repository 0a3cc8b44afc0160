"""Cloud Run: what serves, a candidate beside it, traffic between the two, and all of it back again.

Every change reads, decides and only then writes, so that any attempt may come at any time: what is there already is
left alone, what is a thing of the past is refused. The fence of the last writer stands on the service itself; a write
with an older one does not happen. An etag is sent, and nothing relies on its being enforced.
"""

from google.cloud import run_v2
from pydantic import BaseModel, ConfigDict, Field
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.cloud_run_calls import CloudRunCalls, require_container
from activities.cloud_run_changes import bring_about, foreign_change
from activities.cloud_run_restore import restore
from activities.cloud_run_service import (
    Change,
    ObservedService,
    desired_split,
    fence_of,
    follows_latest,
    observe,
    observed_split,
    revision_name,
    tag_url,
)
from activities.failures import Failure
from rollout.traffic import WHOLE, Candidate, ServiceAnchor, ServiceRef, TrafficSplit, split_between

POLL_SECONDS = 1.0
"""The pause between two looks at a service that is on its way."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    anchor: ServiceAnchor
    fence: int = Field(ge=1)


class DeployCandidate(_Request):
    """A new revision of `image` at 0 % of the traffic, reachable by `tag`."""

    image: str = Field(min_length=1)
    tag: str = Field(min_length=1)
    rollout_id: str = Field(min_length=1)


class ShiftTraffic(_Request):
    """`percent` of the traffic to the candidate, the rest to the anchor's revision.

    With `instead_of`, only from that split: any other one was set by somebody else.
    """

    candidate: Candidate
    percent: int = Field(ge=0, le=WHOLE)
    instead_of: TrafficSplit | None = None


class RestoreTraffic(_Request):
    """All traffic as the anchor had it. `candidate` is None where none was deployed as far as is known."""

    candidate: Candidate | None


class CloudRunActivities:
    """Failures are `ApplicationError`s whose type is an `activities.failures.Failure`. `poll` is in seconds."""

    def __init__(
        self,
        services: run_v2.ServicesAsyncClient,
        revisions: run_v2.RevisionsAsyncClient,
        *,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._calls = CloudRunCalls(services, revisions)
        self._poll = poll

    @activity.defn
    async def read_anchor(self, service: ServiceRef) -> ServiceAnchor:
        """What a service serves, where that is beyond doubt.

        Raises:
            ApplicationError: Ambiguous, NotFound (not retryable): there is no state that a rollback could return to.
        """
        current = await self._calls.read(service)
        split = _split_beyond_doubt(service, current)
        (stable,) = split.shares
        return ServiceAnchor(
            service=service,
            stable=stable,
            split=split,
            image=await self._calls.image_of(service, stable),
            latest_pinned=follows_latest(current),
            generation=current.generation,
            fence=fence_of(current) or 0,
        )

    @activity.defn
    async def deploy_candidate(self, request: DeployCandidate) -> Candidate:
        """Deploy at 0 % and wait until the revision is ready. Template and traffic change in one update.

        Raises:
            ApplicationError: DeploymentFailed, StaleFence, ForeignChange, Ambiguous; a refusal by Cloud Run.
        """
        anchor, ref = request.anchor, request.anchor.service
        candidate = Candidate(
            service=ref,
            revision=revision_name(anchor, request.image, request.rollout_id),
            image=request.image,
            tag=request.tag,
        )

        def decide(current: run_v2.Service) -> Change | None:
            if current.template.revision == candidate.revision and candidate.revision in _named(current):
                return None
            if current.generation != anchor.generation:
                raise foreign_change(
                    ref, f"its anchor was read at generation {anchor.generation}, now it is {current.generation}"
                )
            return Change(split_between(anchor, candidate, 0), template=_candidate_template(current, candidate))

        doing = f"deploying {candidate.image} to {ref.service}"
        deployed = await bring_about(self._calls, ref, request.fence, decide, doing=doing, poll=self._poll)
        return candidate.model_copy(update={"url": tag_url(deployed, candidate.tag)})

    @activity.defn
    async def shift_traffic(self, request: ShiftTraffic) -> TrafficSplit:
        """Shift, wait until Cloud Run has settled on it, and return the observed split. Tags stay as they are.

        Raises:
            ApplicationError: DeploymentFailed, StaleFence, ForeignChange; a refusal by Cloud Run.
        """
        ref, candidate = request.anchor.service, request.candidate
        wanted = split_between(request.anchor, candidate, request.percent)

        def decide(current: run_v2.Service) -> Change | None:
            desired = desired_split(current)
            if desired is None or candidate.revision not in _named(current):
                raise foreign_change(ref, f"{candidate.revision} was taken out of its traffic list")
            others = set(desired.shares) - {request.anchor.stable, candidate.revision}
            if others:
                are = "is" if len(others) == 1 else "are"
                raise foreign_change(
                    ref, f"{desired.in_words()}; {', '.join(sorted(others))} {are} not of this rollout"
                )
            if desired.shares == wanted.shares:
                return None
            if request.instead_of is not None and desired.shares != request.instead_of.shares:
                raise foreign_change(ref, f"{desired.in_words()}; the rollout set {request.instead_of.in_words()}")
            return Change(wanted.model_copy(update={"tags": desired.tags}))

        doing = f"shifting {ref.service} to {request.percent} % for {candidate.revision}"
        shifted = await bring_about(self._calls, ref, request.fence, decide, doing=doing, poll=self._poll)
        observed = _whole(ref, observed_split(shifted))
        if observed.shares != wanted.shares:
            raise ApplicationError(
                f"{doing}: Cloud Run calls it done, and serves {observed.in_words()}", type=Failure.SOURCE_FAILURE
            )
        return observed

    @activity.defn
    async def restore_traffic(self, request: RestoreTraffic) -> TrafficSplit:
        """Give all traffic back to the anchor, whatever else is under way; the split as observed afterwards.

        Raises:
            ApplicationError: StaleFence (not retryable), or a permanent refusal by Cloud Run (retryable).
        """
        anchor = request.anchor
        return await restore(
            self._calls, anchor.service, anchor.split, request.candidate, request.fence, poll=self._poll
        )

    @activity.defn
    async def read_traffic(self, service: ServiceRef) -> TrafficSplit:
        """The observed split.

        Raises:
            ApplicationError: Ambiguous (retryable) where its rows make no whole; a refusal by Cloud Run.
        """
        return _whole(service, observed_split(await self._calls.read(service)))

    async def observed(self, service: ServiceRef) -> ObservedService:
        """Desired and observed split, generation and fence, as one read finds them. Raises as `read_traffic`."""
        return observe(await self._calls.read(service))

    async def base_url(self, service: ServiceRef) -> str:
        """The service's own address, without a path; empty where it has none. Raises as `read_traffic`."""
        return str((await self._calls.read(service)).uri)


def _whole(ref: ServiceRef, split: TrafficSplit | None) -> TrafficSplit:
    if split is None:
        raise ApplicationError(f"{ref.service} reports no split that sums to {WHOLE} %", type=Failure.AMBIGUOUS)
    return split


def _split_beyond_doubt(ref: ServiceRef, current: run_v2.Service) -> TrafficSplit:
    found = observe(current)
    if current.delete_time is not None:
        doubt = "it is being deleted"
    elif found.reconciling:
        doubt = "a change to it is under way; start again when that is done"
    elif found.desired is None or found.observed is None:
        doubt = "it serves nothing yet"
    elif found.desired != found.observed:
        doubt = (
            f"it serves {found.observed.in_words()} and was asked for {found.desired.in_words()} (with tags "
            f"{_tags(found.observed)} and {_tags(found.desired)}): its last change failed. Set its traffic anew first"
        )
    elif len(found.observed.shares) > 1:
        doubt = f"{found.observed.in_words()} serve; give one revision all traffic first"
    else:
        return found.observed
    raise ApplicationError(
        f"{ref.service} has no state that a rollback could return to: {doubt}",
        type=Failure.AMBIGUOUS,
        non_retryable=True,
    )


def _tags(split: TrafficSplit) -> str:
    return ", ".join(f"{tag.tag}→{tag.revision}" for tag in split.tags) or "none"


def _named(current: run_v2.Service) -> set[str]:
    """The revisions that the traffic list names, with a share or by a tag."""
    return {row.revision for row in current.traffic}


def _candidate_template(current: run_v2.Service, candidate: Candidate) -> run_v2.RevisionTemplate:
    template = run_v2.RevisionTemplate(current.template)
    template.revision = candidate.revision
    template.containers[require_container(candidate.service, template.containers)].image = candidate.image
    return template
