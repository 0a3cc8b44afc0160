"""The one script that every change is: how it is called, and how its answer is read."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from flagstore.commands import Commands
from flagstore.keys import KeyFamily
from flagstore.replies import DamagedStore, StoreReply, StoreStatus
from rollout.field_problems import in_a_line
from rollout.flags import FlagSnapshot

IDEMPOTENCY_KEPT = timedelta(days=30)

_SCRIPT = files("flagstore").joinpath("store.lua").read_text(encoding="utf-8")
_MILLISECOND = timedelta(milliseconds=1)


async def run_script(
    redis: Commands,
    family: KeyFamily,
    op: str,
    arguments: Mapping[str, Any],
    idempotency_key: str | None,
    attempt: int = 1,
) -> StoreReply:
    """One operation of the script on one group. The same key again, with the same arguments, gives the same reply."""
    given = json.dumps({name: value for name, value in arguments.items() if value is not None}, sort_keys=True)
    keys = family.of_script(idempotency_key or str(uuid.uuid4()))
    # EVAL, not EVALSHA: one round trip whatever the server has cached, in a pipeline or after a failover too.
    answer = await redis.eval(
        _SCRIPT,
        len(keys),
        *keys,
        op,
        hashlib.sha256(f"{op} {given}".encode()).hexdigest(),
        round(IDEMPOTENCY_KEPT / _MILLISECOND),
        family.channel,
        given,
        attempt,
    )
    status, epoch, rev, detail, replayed, snapshot = answer
    return StoreReply(
        status=StoreStatus(status),
        epoch=int(epoch),
        rev=int(rev),
        detail=str(detail),
        replayed=bool(replayed),
        group=family.group,
        snapshot=read_snapshot(snapshot or None),
    )


def read_snapshot(text: str | None) -> FlagSnapshot | None:
    """The documents as they are stored; None where none are.

    Raises:
        DamagedStore: the text is no snapshot.
    """
    if text is None:
        return None
    try:
        return FlagSnapshot.model_validate_json(text)
    except ValidationError as failure:
        raise DamagedStore(f"the stored text is no flag snapshot: {in_a_line(failure)}") from failure
