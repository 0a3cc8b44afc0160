"""The Cloud Run services the sandbox holds: each with its spec, its observed state and its revisions."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from sandbox.resource_names import ServiceName
from sandbox.rpc_errors import RpcError
from sandbox.traffic_rules import LATEST


@dataclass(slots=True)
class RevisionRecord:
    """A revision, the template it was made from, and whether it started. `settled` is set once that is known."""

    short_name: str
    message: Any
    template: Any
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    failure: RpcError | None = None

    @property
    def image(self) -> str:
        image: str = self.template.containers[0].image
        return image

    @property
    def ready(self) -> bool:
        return self.settled.is_set() and self.failure is None


@dataclass(frozen=True, slots=True)
class RevisionShare:
    """What one revision gets of the observed traffic. `percent` is 1 to 100."""

    revision: str
    image: str
    percent: int


@dataclass(frozen=True, slots=True)
class ObservedTraffic:
    """How requests are split now, and which revision is the newcomer (none while there was only ever one)."""

    shares: tuple[RevisionShare, ...] = ()
    candidate: str | None = None


@dataclass(slots=True)
class ServiceRecord:
    """A service: `message` is what GetService answers; revisions are kept by short name, oldest first."""

    name: ServiceName
    message: Any
    revisions: dict[str, RevisionRecord] = field(default_factory=dict)
    minted: int = 0
    deleted: bool = False

    def latest_ready(self) -> RevisionRecord | None:
        return self.revisions.get(self.message.latest_ready_revision.rpartition("/")[2])

    def target_of(self, row: Any) -> RevisionRecord | None:
        """The revision a traffic row means: the named one, or the newest ready one."""
        return self.latest_ready() if row.type_ == LATEST else self.revisions.get(row.revision)

    def tagged(self, tag: str) -> RevisionRecord | None:
        """The revision behind an observed tag."""
        for row in self.message.traffic_statuses:
            if row.tag == tag:
                return self.target_of(row)
        return None

    def observed_traffic(self) -> ObservedTraffic:
        percents: dict[str, int] = {}
        for row in self.message.traffic_statuses:
            target = self.target_of(row)
            if target is not None and row.percent:
                percents[target.short_name] = percents.get(target.short_name, 0) + row.percent
        newest = self.message.latest_created_revision.rpartition("/")[2]
        return ObservedTraffic(
            shares=tuple(
                RevisionShare(name, self.revisions[name].image, percent) for name, percent in percents.items()
            ),
            candidate=newest if self.minted > 1 else None,
        )


class ServiceKeeper(Protocol):
    """Hears of every change of what there is."""

    def keep(self, record: ServiceRecord) -> None: ...

    def keep_deleted(self, message: Any) -> None: ...


class RunServices:
    """All services by full name. Listeners hear of every change of what is observed."""

    def __init__(self, keeper: "ServiceKeeper") -> None:
        self._keeper = keeper
        self._records: dict[str, ServiceRecord] = {}
        self._deleted: list[Any] = []
        self._listeners: list[Callable[[ServiceRecord, int], None]] = []

    def __iter__(self) -> Iterator[ServiceRecord]:
        return iter(list(self._records.values()))

    def restore(self, records: Iterable[ServiceRecord], deleted: Iterable[Any]) -> None:
        """Take what was kept; listeners do not hear of it."""
        self._records.update((str(record.name), record) for record in records)
        self._deleted.extend(deleted)

    def add(self, record: ServiceRecord) -> None:
        self._records[str(record.name)] = record
        self.changed(record)

    def remove(self, record: ServiceRecord) -> None:
        record.deleted = True
        del self._records[str(record.name)]
        self.changed(record)

    def keep_deleted(self, message: Any) -> None:
        """Remember a removed service as it was answered with at last; such ones are only listed."""
        self._deleted.append(message)
        self._keeper.keep_deleted(message)

    def deleted_ones(self) -> list[Any]:
        return list(self._deleted)

    def exists(self, name: ServiceName) -> bool:
        return str(name) in self._records

    def get(self, name: ServiceName) -> ServiceRecord:
        """The service, or NOT_FOUND in the words of the real API."""
        record = self._records.get(str(name))
        if record is None:
            raise RpcError(
                grpc.StatusCode.NOT_FOUND,
                f"Resource '{name.service}' of kind 'SERVICE' in region '{name.region}' in project "
                f"'{name.project}' does not exist.",
            )
        return record

    def listen(self, listener: Callable[[ServiceRecord, int], None]) -> None:
        """Call `listener(record, instant)` after every change of a service's observed state."""
        self._listeners.append(listener)

    def changed(self, record: ServiceRecord) -> None:
        """Note any change of a service, also one that is not observed as yet."""
        self._keeper.keep(record)

    def observed(self, record: ServiceRecord, instant: int) -> None:
        self.changed(record)
        for listener in self._listeners:
            listener(record, instant)
