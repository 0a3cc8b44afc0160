"""Reading and writing Cloud Run's `Service` message in the words of `rollout.traffic`. No call is made here.

`traffic` is the desired split and `traffic_statuses` the observed one. They differ while a change is under way, and
also after a change that failed: then the desired split stays as it was asked for, and the next deployment would
bring it about.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from google.cloud import run_v2

from rollout.traffic import WHOLE, ServiceAnchor, Tag, TrafficSplit

FENCE_ANNOTATION = "rollout/fence"
"""Where the fence of the last writer stands on the service itself, for as long as the service lives."""

_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED
_FAILED = run_v2.Condition.State.CONDITION_FAILED
_NAME_DIGEST_BYTES = 5


@dataclass(frozen=True)
class ObservedService:
    """A service as one read found it. A split is None where its rows make no whole, as before the first revision.

    `fence` is 0 where nobody of ours has written yet, and None where the annotation holds no number.
    """

    desired: TrafficSplit | None
    observed: TrafficSplit | None
    generation: int
    reconciling: bool
    fence: int | None


def observe(service: run_v2.Service) -> ObservedService:
    return ObservedService(
        desired=desired_split(service),
        observed=observed_split(service),
        generation=service.generation,
        reconciling=service.reconciling,
        fence=fence_of(service),
    )


def desired_split(service: run_v2.Service) -> TrafficSplit | None:
    """What was asked for. An empty list asks for everything to the newest ready revision."""
    return _split(service.traffic or [run_v2.TrafficTarget(type_=_LATEST, percent=WHOLE)], service)


def observed_split(service: run_v2.Service) -> TrafficSplit | None:
    """What serves."""
    return _split(service.traffic_statuses, service)


def follows_latest(service: run_v2.Service) -> bool:
    """Whether traffic goes to whatever revision is the newest ready one, instead of to revisions by their names."""
    return not service.traffic or any(row.type_ == _LATEST and row.percent for row in service.traffic)


def _split(
    rows: Iterable[run_v2.TrafficTarget | run_v2.TrafficTargetStatus], service: run_v2.Service
) -> TrafficSplit | None:
    shares: Counter[str] = Counter()
    tags: set[tuple[str, str]] = set()
    for row in rows:
        # A row for the newest revision names none, neither as asked for nor as observed.
        revision = _short(service.latest_ready_revision) if row.type_ == _LATEST else row.revision
        if row.percent:
            shares[revision] += row.percent
        if row.tag:
            tags.add((row.tag, revision))
    if sum(shares.values()) != WHOLE or not all(shares):
        return None
    return TrafficSplit(
        shares=dict(shares), tags=tuple(Tag(tag=tag, revision=revision) for tag, revision in sorted(tags))
    )


def _short(resource_name: str) -> str:
    return resource_name.rpartition("/")[2]


def fence_of(service: run_v2.Service) -> int | None:
    written = service.annotations.get(FENCE_ANNOTATION, "0")
    return int(written) if written.isascii() and written.isdecimal() else None


def is_settled(service: run_v2.Service) -> bool:
    """Whether Cloud Run is done with the last change. After a failed one it may go on observing the one before."""
    state = service.terminal_condition.state
    if service.reconciling:
        return False
    return state == _FAILED or (state == _SUCCEEDED and service.observed_generation >= service.generation)


def failure_of(service: run_v2.Service) -> str | None:
    """Why the last change failed, in Cloud Run's own words; None where it did not."""
    if service.terminal_condition.state != _FAILED:
        return None
    failed = [service.terminal_condition, *(row for row in service.conditions if row.state == _FAILED)]
    return "; ".join(dict.fromkeys(filter(None, map(_reason, failed)))) or "no reason was given"


def _reason(condition: run_v2.Condition) -> str:
    if "revision_reason" in condition:
        name = condition.revision_reason.name
    elif "reason" in condition:
        name = condition.reason.name
    else:
        return str(condition.message)
    return f"{name}: {condition.message}" if condition.message else str(name)


def tag_url(service: run_v2.Service, tag: str) -> str:
    """The address of a tag's revision; empty where the service has no public addresses."""
    return next((str(row.uri) for row in service.traffic_statuses if row.tag == tag), "")


def serving_container(containers: Sequence[run_v2.Container]) -> int | None:
    """The index of the container that takes the requests: the only one, or among sidecars the only one with a port."""
    indexes = [index for index, container in enumerate(containers) if len(containers) == 1 or container.ports]
    return indexes[0] if len(indexes) == 1 else None


def revision_name(anchor: ServiceAnchor, image: str, rollout_id: str) -> str:
    """The name of a rollout's candidate revision, the same however often it is asked for.

    The generation stands for the template that the candidate is made from, whose text would not do: the server
    fills defaults in and carries the candidate's own changes once it is deployed.
    """
    told = "\0".join((rollout_id, anchor.service.resource_name, str(anchor.generation), image))
    digest = blake2b(told.encode(), digest_size=_NAME_DIGEST_BYTES).hexdigest()
    return f"{anchor.service.service}-r{digest}"


@dataclass(frozen=True)
class Change:
    """What one update writes: always the whole traffic list, and the template where a new revision is wanted."""

    traffic: TrafficSplit
    template: run_v2.RevisionTemplate | None = None


def update_request(
    current: run_v2.Service, name: str, change: Change, fence: int, *, etag: str
) -> run_v2.UpdateServiceRequest:
    """The update that brings `change` about and signs it with `fence`. Nothing outside the mask is sent.

    A split is whole by construction, so the list is never empty: an empty one would give everything to the newest.
    """
    update = run_v2.Service(
        name=name,
        etag=etag,
        # The mask replaces the map as a whole, so that what others keep there is sent back as it was read.
        annotations={**current.annotations, FENCE_ANNOTATION: str(fence)},
        traffic=[
            *(
                run_v2.TrafficTarget(type_=_REVISION, revision=revision, percent=share)
                for revision, share in change.traffic.shares.items()
            ),
            *(run_v2.TrafficTarget(type_=_REVISION, revision=tag.revision, tag=tag.tag) for tag in change.traffic.tags),
        ],
    )
    paths = ["annotations", "traffic"]
    if change.template is not None:
        update.template = change.template
        paths.append("template")
    return run_v2.UpdateServiceRequest(service=update, update_mask={"paths": paths})
