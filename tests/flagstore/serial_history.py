"""What the audit trail, which is the one order in which changes happened, says about the promises of the store.

It is walked with a reference of a dozen lines that shares no code with the script that wrote it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.flags import FlagSnapshot


def order(document: Mapping[str, Any] | None) -> int:
    return -1 if document is None or document["exposure"] == "off" else int(document["bp"])


@dataclass
class SerialHistory:
    """The state after the entries walked so far."""

    epoch: int = 0
    rev: int = 0
    latch: bool = False
    flags: dict[str, Any] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)

    def walk(self, entries: Iterable[Mapping[str, str]]) -> "SerialHistory":
        for entry in entries:
            self._step(json.loads(entry["body"]))
        return self

    def _step(self, body: dict[str, Any]) -> None:
        told, changes = body["arguments"], body["changes"]
        assert told["reason"] not in self.reasons, "one request was carried out twice"
        self.reasons.add(told["reason"])
        for flag, (before, _) in changes.items():
            assert order(before) == order(self.flags.get(flag)), "a change starts from what was there"
        raised = [flag for flag, (before, after) in changes.items() if order(after) > order(before)]
        if raised:
            assert body["op"] == "set", "nothing but a stage raises an exposure"
            assert not self.latch, "raised while the kill switch was set"
            assert told["fence"] == self.epoch, "raised under a fence that was not the present one"
        if body["status"] != "OK":
            assert not changes, "a refusal changed something"
            assert (body["epoch"], body["rev"]) == (self.epoch, self.rev)
            return
        assert body["rev"] == self.rev + 1
        if body["op"] in {"emergency", "begin"}:
            assert body["epoch"] > self.epoch
        else:
            assert body["epoch"] == self.epoch
        if body["op"] == "rearm":
            assert self.latch
            assert told["epoch"] == self.epoch, "a rearm of another incident"
        if body["op"] == "begin":
            assert not self.latch
        self.epoch, self.rev = body["epoch"], body["rev"]
        self.latch = (self.latch or body["op"] == "emergency") and body["op"] != "rearm"
        self.flags |= {flag: after for flag, (_, after) in changes.items()}
        if self.latch:
            assert all(order(document) == -1 for document in self.flags.values()), "latched, and something is on"

    def is_shown_by(self, snapshot: FlagSnapshot) -> bool:
        return (self.epoch, self.rev, self.latch, {flag: order(found) for flag, found in self.flags.items()}) == (
            snapshot.epoch,
            snapshot.rev,
            snapshot.latch,
            {flag: exposure.order for flag, exposure in snapshot.flags.items()},
        )
