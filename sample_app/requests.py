"""One request of a user: through the new path with state of its own, or the legacy path with shared state."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from math import log
from random import Random
from time import perf_counter
from typing import Any

from sample_app.faults import NO_FAULTS, Faults
from sample_app.feature_flags import FACTORY_PATTERN, REQUEST_ISOLATION, FeatureFlags
from sample_app.measurements import Group, GroupMeasurements, Measurements

_KIB = 1024
_DATABASE_MEDIAN_SECONDS = 0.015
_DATABASE_SPREAD = 0.5
"""Each request waits for a database that is not there: lognormal, 15 ms in the median, 34 ms at the 95th percentile.
Without it all answers would come within a millisecond, and a latency would be nothing but the noise of the machine."""


@dataclass(slots=True)
class UserState:
    """What one user's requests build up. Serving it to anybody else is a breach of isolation."""

    owner: str
    requests: int = 0


class RequestPaths:
    """Answers requests. `faults` holds from the next request on."""

    def __init__(self, flags: FeatureFlags, measurements: Measurements, random: Random) -> None:
        self.faults: Faults = NO_FAULTS
        self._flags = flags
        self._measurements = measurements
        self._random = random
        self._shared: dict[str, UserState] = {}
        self._previous: UserState | None = None
        self._taken_along_by: str | None = None
        self._leaked: list[bytearray] = []

    async def answer(self, user: str, email: str | None) -> tuple[HTTPStatus, dict[str, Any]]:
        """Serve one request; the status is 200, or 500 where a fault struck."""
        began = perf_counter()
        treated = self._flags.is_on(REQUEST_ISOLATION, user, email)
        group: Group = "treated" if treated else "control"
        figures = self._measurements.groups[group]
        faults = self.faults if self.faults.reach(treated=treated, email=email) else NO_FAULTS
        database = self._random.lognormvariate(log(_DATABASE_MEDIAN_SECONDS), _DATABASE_SPREAD)
        await asyncio.sleep(database + faults.latency_ms / 1000)
        if faults.leak_kib_per_request:
            self._leaked.append(bytearray(faults.leak_kib_per_request * _KIB))
        state = self._state_of(user, treated=treated, faults=faults)
        isolated = state.owner == user
        figures.isolated += isolated
        figures.violated += not isolated
        figures.legacy += not treated
        self._measurements.isolation.note(good=isolated)
        failed = self._fails(user, figures, faults)
        figures.ok += not failed
        figures.errors += failed
        if failed or not isolated:
            figures.affected.add(user)
        milliseconds = (perf_counter() - began) * 1000
        figures.request_latencies.add(milliseconds)
        cohort = self._measurements.cohorts[self._flags.cohort(user, email)]
        cohort.ok += not failed
        cohort.errors += failed
        cohort.request_latencies.add(milliseconds)
        body = {
            "user": user,
            "group": group,
            "path": "isolated" if treated else "legacy",
            "factory": self._flags.is_on(FACTORY_PATTERN, user, email),
            "state_of": state.owner,
        }
        return (HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK), body

    def _state_of(self, user: str, *, treated: bool, faults: Faults) -> UserState:
        """New path: a state of the request's own. Legacy path: one that all requests of the user share."""
        state = UserState(user) if treated else self._shared.setdefault(user, UserState(user))
        state.requests += 1
        previous, self._previous = self._previous, state
        breached = previous is not None and self._struck(faults.isolation_breach_rate)
        return previous if breached and previous is not None else state

    def _fails(self, user: str, figures: GroupMeasurements, faults: Faults) -> bool:
        """Whether this request fails, by itself or because another user's failure spread to it."""
        spread = self._taken_along_by is not None and self._taken_along_by != user
        if spread:
            figures.cascades += 1
            self._taken_along_by = None
        begins_cascade = self._struck(faults.cascade_rate)
        if begins_cascade:
            self._taken_along_by = user
        self._measurements.factory.note(good=not spread)
        return spread or begins_cascade or self._struck(faults.error_rate)

    def _struck(self, rate: float) -> bool:
        return rate > 0.0 and self._random.random() < rate
