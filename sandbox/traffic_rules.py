"""What Cloud Run demands of the desired traffic of a service, before anything is changed."""

import re
from collections.abc import Sequence
from typing import Any

from google.cloud.run_v2 import TrafficTargetAllocationType

from sandbox.resource_names import ServiceName
from sandbox.rpc_errors import RpcError, violation
from sandbox.wire_messages import copy_of

LATEST = int(TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST)
REVISION = int(TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION)

_ALL = 100
_TAG_AND_SERVICE_MAX = 46
_TAG_MIN = 3
_TAG = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def checked_traffic(name: ServiceName, rows: Sequence[Any], field: str) -> list[Any]:
    """Copies of the rows, if they keep the rules.

    Raises:
        RpcError: INVALID_ARGUMENT, naming the row.
    """
    for index, row in enumerate(rows):
        _check_row(name, row, f"{field}[{index}]")
    total = sum(row.percent for row in rows)
    if rows and total != _ALL:
        raise violation(field, f"Traffic targets sum to {total}, want {_ALL}.")
    tags = [row.tag for row in rows if row.tag]
    for tag in tags:
        if tags.count(tag) > 1:
            raise violation(field, f"Multiple definitions for tag '{tag}'.")
    return [copy_of(row) for row in rows]


def _check_row(name: ServiceName, row: Any, field: str) -> None:
    if not 0 <= row.percent <= _ALL:
        raise violation(f"{field}.percent", f"{row.percent} is not between 0 and {_ALL}.")
    if row.type_ == LATEST and row.revision:
        raise violation(f"{field}.revision", "A target of the latest revision must not name a revision.")
    if row.type_ == REVISION and not row.revision.startswith(f"{name.service}-"):
        raise _unknown_form(name, row.revision, f"{field}.revision")
    if row.type_ not in (LATEST, REVISION):
        raise violation(f"{field}.type", "The allocation type must be LATEST or REVISION.")
    if row.tag:
        _check_tag(name, row.tag, f"{field}.tag")


def _unknown_form(name: ServiceName, revision: str, field: str) -> RpcError:
    """A full resource name, or the revision of another service: the wording is the real service's."""
    message = f"Revision target '{revision}' invalid. Expected a revision prefixed with '{name.service}-'"
    refusal = violation(field, message)
    return RpcError(refusal.code, message, *refusal.details)


def _check_tag(name: ServiceName, tag: str, field: str) -> None:
    if _TAG.fullmatch(tag) is None:
        raise violation(field, f"'{tag}' must hold lower-case letters, digits and hyphens, a letter first.")
    if len(tag) < _TAG_MIN:
        raise violation(field, f"Traffic tag '{tag}' must have at least {_TAG_MIN} characters.")
    if len(tag) + len(name.service) > _TAG_AND_SERVICE_MAX:
        raise violation(
            field,
            f"traffic tag '{tag}' and service name '{name.service}' together are too long. Combined traffic tag and "
            f"service name cannot exceed {_TAG_AND_SERVICE_MAX} characters.",
        )
