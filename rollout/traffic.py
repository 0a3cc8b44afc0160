"""Traffic of a Cloud Run service between revisions: what serves, what the next split is, what the anchor was.

Revisions are named by their short names, as Cloud Run wants them in a traffic list. Shares are whole percents.
"""

from pydantic import BaseModel, ConfigDict, Field, model_validator

WHOLE = 100

CANDIDATE_TAG = "candidate"
"""The tag under which a candidate is reachable before it has any traffic."""
TAG_AND_SERVICE_MAX = 46
"""Cloud Run's limit of characters, for a tag and its service's name together: both stand in one part of a host name."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceRef(_Frozen):
    """Where a Cloud Run service lives. `key` is its name inside the plan."""

    key: str
    project: str
    region: str
    service: str

    @property
    def resource_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/services/{self.service}"


class Tag(_Frozen):
    """A name that reaches one revision by its own URL, whatever the split."""

    tag: str
    revision: str


class TrafficSplit(_Frozen):
    """Percent per revision (rows of 0 % are left out) and the tags that live beside it."""

    shares: dict[str, int]
    tags: tuple[Tag, ...] = ()

    @model_validator(mode="after")
    def _sums_to_the_whole(self) -> "TrafficSplit":
        if sum(self.shares.values()) != WHOLE or any(not 0 < share <= WHOLE for share in self.shares.values()):
            raise ValueError(f"shares are positive and sum to {WHOLE}, got {self.shares}")
        return self

    def share_of(self, revision: str) -> int:
        return self.shares.get(revision, 0)

    def in_words(self) -> str:
        return ", ".join(f"{revision} {share} %" for revision, share in sorted(self.shares.items()))


class ServiceAnchor(_Frozen):
    """What a service served before the first change: the state a rollback returns to.

    `stable` is the one revision that had all traffic; `latest_pinned` tells that it had it as LATEST, which a
    rollback pins, because LATEST means the candidate once that is deployed.
    """

    service: ServiceRef
    stable: str
    split: TrafficSplit
    image: str
    latest_pinned: bool = False
    generation: int = Field(ge=0)
    fence: int = Field(default=0, ge=0, description="of the last rollout that wrote this service; ours must be higher")


class Candidate(_Frozen):
    """The revision being rolled out. `url` is its own address by tag, reachable before it has any traffic."""

    service: ServiceRef
    revision: str
    image: str
    tag: str
    url: str = ""


def split_between(anchor: ServiceAnchor, candidate: Candidate, percent: int) -> TrafficSplit:
    """The split that gives `percent` to the candidate and the rest to the anchor's stable revision.

    Tags other than the candidate's own stay where they were.
    """
    if not 0 <= percent <= WHOLE:
        raise ValueError(f"a candidate's share is 0 to {WHOLE} percent, got {percent}")
    shares = {anchor.stable: WHOLE - percent, candidate.revision: percent}
    foreign = tuple(tag for tag in anchor.split.tags if tag.tag != candidate.tag)
    return TrafficSplit(
        shares={revision: share for revision, share in shares.items() if share},
        tags=(*foreign, Tag(tag=candidate.tag, revision=candidate.revision)),
    )
