"""Failures of Google's APIs on demand: errors per method, delays, commits whose answer is lost, metrics gone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

import grpc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.rpc_errors import RpcError

MetricOutage = Literal["outage"]

_FAILURES = tuple(name for name in grpc.StatusCode.__members__ if name != grpc.StatusCode.OK.name)
_INJECTED = "injected by the sandbox"


class Fault(BaseModel):
    """What goes wrong with the next calls of one method.

    `method` is the RPC's short name, such as `UpdateService`. With `after_commit` the call takes effect and its answer
    is lost, as when a deadline passes on the way back. Without a `code` the call is only late by `delay_seconds`.
    Without a `message` PERMISSION_DENIED is said in Google's words, other codes are said to be injected.
    `count` calls are hit, or all of them until the fault is deleted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(min_length=1)
    code: str | None = None
    message: str | None = None
    count: int | None = Field(default=None, ge=1)
    after_commit: bool = False
    delay_seconds: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)

    @field_validator("code")
    @classmethod
    def _a_grpc_status(cls, code: str | None) -> str | None:
        if code is not None and code not in _FAILURES:
            raise ValueError(f"{code!r} is not a gRPC status of a failure; allowed are {', '.join(_FAILURES)}")
        return code


class FaultTable:
    """The faults in force: at most one per method, the outage of metrics, a reconcile time of its own."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._methods: set[str] = set()
        self.metrics_outage = False
        self.reconcile_seconds: float | None = None

    def may_hit(self, methods: Iterable[str]) -> None:
        """Methods that are served, by their short names."""
        self._methods.update(methods)

    def put(self, fault: Fault) -> None:
        """Put a fault in force, in place of the one that its method had.

        Raises:
            ValueError: no such method is served.
        """
        if fault.method not in self._methods:
            raise ValueError(f"method: {fault.method!r} is not served; allowed are {', '.join(sorted(self._methods))}")
        self._faults[fault.method] = fault

    def remove(self, method: str) -> None:
        self._faults.pop(method, None)

    def clear(self) -> None:
        self._faults.clear()
        self.metrics_outage = False
        self.reconcile_seconds = None

    def in_force(self) -> list[Fault]:
        return list(self._faults.values())

    async def around(self, method: str, call: Callable[[], Awaitable[Any]], denied: Callable[[], RpcError]) -> Any:
        """Answer `call()`, unless a fault of `method` says otherwise; `denied()` is how Google denies this call."""
        fault = self._take(method)
        if fault is None:
            return await call()
        if fault.after_commit:
            answer = await call()
            await asyncio.sleep(fault.delay_seconds)
        else:
            await asyncio.sleep(fault.delay_seconds)
            answer = None
        if fault.code is not None:
            if fault.code == grpc.StatusCode.PERMISSION_DENIED.name and fault.message is None:
                raise denied()
            raise RpcError(grpc.StatusCode[fault.code], fault.message or _INJECTED)
        return answer if fault.after_commit else await call()

    def _take(self, method: str) -> Fault | None:
        fault = self._faults.get(method)
        if fault is None or fault.count is None:
            return fault
        if fault.count == 1:
            del self._faults[method]
        else:
            self._faults[method] = fault.model_copy(update={"count": fault.count - 1})
        return fault
