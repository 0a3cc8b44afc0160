"""A Cloud Run service as the journal keeps it: its messages as they are on the wire, and what they do not say."""

import json
from base64 import b64decode, b64encode
from typing import Any

import grpc

from sandbox.journal import Journal, as_json
from sandbox.resource_names import parse_service
from sandbox.rpc_errors import RpcError
from sandbox.run_services import ObservedTraffic, RevisionRecord, RevisionShare, ServiceRecord
from sandbox.wire_messages import Revision, RevisionTemplate, Service

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_SERVICE, _DELETED = "service", "deleted service"


class KeptServices:
    """The services' place in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, record: ServiceRecord) -> None:
        if record.deleted:
            self._journal.gone(_SERVICE, str(record.name))
        else:
            self._journal.changed(_SERVICE, str(record.name), lambda: _service_as_json(record))

    def keep_deleted(self, message: Any) -> None:
        self._journal.changed(_DELETED, message.uid, message.SerializeToString)

    def held(self) -> list[ServiceRecord]:
        return [_service_of(text) for _, text in self._journal.held(_SERVICE)]

    def held_deleted(self) -> list[Any]:
        return [Service.FromString(text) for _, text in self._journal.held(_DELETED)]


def _service_as_json(record: ServiceRecord) -> bytes:
    return as_json(
        {
            "message": _text(record.message),
            "minted": record.minted,
            "revisions": [_revision(each) for each in record.revisions.values()],
        }
    )


def _service_of(text: bytes) -> ServiceRecord:
    kept = json.loads(text)
    message = Service.FromString(b64decode(kept["message"]))
    record = ServiceRecord(parse_service(message.name, field="name"), message, minted=kept["minted"])
    for each in kept["revisions"]:
        record.revisions[each["name"]] = _revision_of(each)
    return record


def traffic_as_json(traffic: ObservedTraffic) -> Any:
    return [traffic.candidate, *([share.revision, share.image, share.percent] for share in traffic.shares)]


def traffic_of(kept: Any) -> ObservedTraffic:
    candidate, *shares = kept
    return ObservedTraffic(tuple(RevisionShare(*share) for share in shares), candidate)


def _revision(record: RevisionRecord) -> dict[str, Any]:
    failure = record.failure
    return {
        "name": record.short_name,
        "message": _text(record.message),
        "template": _text(record.template),
        "settled": record.settled.is_set(),
        "failure": None if failure is None else [failure.code.value[0], failure.message],
    }


def _revision_of(kept: dict[str, Any]) -> RevisionRecord:
    record = RevisionRecord(
        kept["name"],
        Revision.FromString(b64decode(kept["message"])),
        RevisionTemplate.FromString(b64decode(kept["template"])),
    )
    if kept["failure"] is not None:
        code, message = kept["failure"]
        record.failure = RpcError(_CODES[code], message)
    if kept["settled"]:
        record.settled.set()
    return record


def _text(message: Any) -> str:
    return b64encode(message.SerializeToString()).decode()
