"""Reading signals of any shape. Nothing that a person types at 3 a.m. may fail to parse: what can be read is kept."""

import json
from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from rollout.messages import EMERGENCY_SPELLINGS, LONGEST_NAME, kept_of


def means_emergency(name: str) -> bool:
    """Whether a signal's name asks for a rollback, whatever its case, hyphens and spaces."""
    return name.strip().lower().replace("-", "_").replace(" ", "_") in EMERGENCY_SPELLINGS


def read_by_and_reason(values: Sequence[RawValue]) -> tuple[str | None, str]:
    """Who sent a signal and why, as far as its payloads tell. Never raises."""
    by: str | None = None
    texts: list[str] = []
    for value in values:
        decoded = _decode(value)
        if isinstance(decoded, dict):
            for key, part in decoded.items():
                if str(key).lower() in ("by", "actor", "user", "updated_by", "updated-by"):
                    by = by or kept_of(str(part), LONGEST_NAME)
                else:
                    texts.append(str(part) if str(key).lower() == "reason" else f"{key}: {part}")
        elif decoded is not None and decoded != "":
            texts.append(str(decoded))
    return by, kept_of("; ".join(texts))


def _decode(value: RawValue) -> object:
    data = value.payload.data
    if not data:
        return None
    try:
        decoded: object = json.loads(data)
    except (ValueError, RecursionError):
        # Not JSON, perhaps not text, perhaps nested without end: show what can be shown.
        return data.decode("utf-8", errors="replace")
    return decoded
