"""Making revisions: a changed template becomes a new, immutable revision with a name of its own."""

from random import Random
from typing import Any
from uuid import UUID

import grpc
from google.cloud.run_v2 import Condition as RunCondition

from sandbox.clock import timestamp
from sandbox.etag import etag_of
from sandbox.rpc_errors import RpcError
from sandbox.run_services import RevisionRecord, ServiceRecord
from sandbox.service_spec import same_configuration
from sandbox.wire_messages import Condition, Revision, copy_of

PENDING = int(RunCondition.State.CONDITION_PENDING)
FAILED = int(RunCondition.State.CONDITION_FAILED)
SUCCEEDED = int(RunCondition.State.CONDITION_SUCCEEDED)

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 3


def revision_to_mint(record: ServiceRecord, template: Any, random: Random) -> str | None:
    """The short name of the revision `template` calls for, or None where it is one that exists already.

    Raises:
        RpcError: ALREADY_EXISTS, the template names a revision that was made from another configuration.
    """
    named = record.revisions.get(template.revision) if template.revision else None
    if named is not None:
        if same_configuration(named.template, template):
            return None
        raise RpcError(
            grpc.StatusCode.ALREADY_EXISTS,
            f"Revision named '{template.revision}' with different configuration already exists.",
        )
    if template.revision:
        return str(template.revision)
    newest = next(reversed(record.revisions.values()), None)
    if newest is not None and same_configuration(newest.template, template):
        return None
    return _automatic_name(record, random)


def _automatic_name(record: ServiceRecord, random: Random) -> str:
    while True:
        suffix = "".join(random.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))
        name = f"{record.name.service}-{record.minted + 1:05d}-{suffix}"
        if name not in record.revisions:
            return name


def mint(record: ServiceRecord, short_name: str, instant: int, uid: UUID) -> RevisionRecord:
    """Add the revision of the service's present template, not yet started."""
    template = copy_of(record.message.template)
    full_name = record.name.revision(short_name)
    message = Revision(
        name=full_name,
        uid=str(uid),
        generation=1,
        create_time=timestamp(instant),
        update_time=timestamp(instant),
        service=record.name.service,
        reconciling=True,
        conditions=[Condition(type_="Ready", state=PENDING, last_transition_time=timestamp(instant))],
        creator=record.message.last_modifier,
        etag=etag_of(instant, full_name),
    )
    _copy_shared_fields(template, message)
    revision = RevisionRecord(short_name, message, template)
    record.revisions[short_name] = revision
    record.minted += 1
    return revision


def settle(record: ServiceRecord, revision: RevisionRecord, failure: RpcError | None, instant: int) -> None:
    """Note whether the revision started. A ready one becomes the latest ready one, unless a newer one already is."""
    revision.failure = failure
    revision.message.reconciling = False
    revision.message.observed_generation = 1
    ready = revision.message.conditions[0]
    ready.state = FAILED if failure else SUCCEEDED
    ready.message = failure.message if failure else ""
    ready.last_transition_time.CopyFrom(timestamp(instant))
    if failure is not None:
        ready.revision_reason = int(RunCondition.RevisionReason.HEALTH_CHECK_CONTAINER_ERROR)
    revision.settled.set()
    settled = [each for each in record.revisions.values() if each.settled.is_set()]
    record.message.latest_created_revision = settled[-1].message.name
    ready_ones = [each for each in settled if each.ready]
    if ready_ones:
        record.message.latest_ready_revision = ready_ones[-1].message.name


def start_failure(revision: RevisionRecord) -> RpcError:
    """Why a revision whose container never listens is refused: text and code of recent reports."""
    port = revision.template.containers[0].ports[0].container_port
    return RpcError(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Revision '{revision.short_name}' is not ready and cannot serve traffic. The user-provided container failed "
        f"to start and listen on the port defined provided by the PORT={port} environment variable within the "
        "allocated timeout. This can happen when the container port is misconfigured or if the timeout is too short. "
        "The health check timeout can be extended. Logs for this revision might contain more information.",
    )


def _copy_shared_fields(template: Any, message: Any) -> None:
    """What a revision takes over from its template: every field that both have under one name."""
    for descriptor, value in template.ListFields():
        if descriptor.name not in message.DESCRIPTOR.fields_by_name:
            continue
        if descriptor.message_type is None:
            setattr(message, descriptor.name, value)
        elif descriptor.is_repeated:
            getattr(message, descriptor.name).MergeFrom(value)
        else:
            getattr(message, descriptor.name).CopyFrom(value)
