"""What the users of a load test met, counted as it happens and bounded however long it goes on."""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil

from rollout.load_test import Breach, LoadReport, RequestFigures

MOST_ERRORS = 20
"""Texts of errors that are told apart; further ones are counted together."""
MOST_BREACHES = 100
"""Users with a breach that a report names."""
LONGEST_TEXT = 160
FURTHER_ERRORS = "other errors"


@dataclass(slots=True)
class _Kind:
    """Latencies are counted by whole milliseconds, rounded up, so that a percentile is never flattered."""

    requests: int = 0
    failures: int = 0
    latencies: Counter[int] = field(default_factory=Counter)

    def percentiles(self, *shares: float) -> list[int | None]:
        if not self.requests:
            return [None for _ in shares]
        found: list[int | None] = []
        counted, waiting = 0, list(shares)
        for latency in sorted(self.latencies):
            counted += self.latencies[latency]
            while waiting and counted >= waiting[0] * self.requests:
                found.append(latency)
                waiting.pop(0)
        return found


@dataclass(slots=True)
class _Breached:
    data_of: str
    times: int = 0


class Tally:
    """`kinds` are named in the order in which they are shown; the first are the users' own requests."""

    def __init__(self, kinds: list[str]) -> None:
        self.events = 0
        self.events_lost = 0
        self.busiest_cpu_percent = 0.0
        self._kinds = {name: _Kind() for name in kinds}
        self._errors: Counter[str] = Counter()
        self._checked = 0
        self._unsaid = 0
        self._breached: dict[tuple[str, str], _Breached] = {}

    def request(self, kind: str, milliseconds: float, failure: str | None) -> None:
        """One answered or failed request."""
        figures = self._kinds[kind]
        figures.requests += 1
        figures.latencies[ceil(milliseconds)] += 1
        if failure is not None:
            self.broke(kind, failure)

    def broke(self, kind: str, text: str) -> None:
        """What had been answered failed all the same, such as a session that broke."""
        self._kinds[kind].failures += 1
        known = text[:LONGEST_TEXT]
        self._errors[known if known in self._errors or len(self._errors) < MOST_ERRORS else FURTHER_ERRORS] += 1

    def carried(self, data_of: str | None, *, user: str, url: str) -> None:
        """Whose data an answer to `user` carried; None where it did not say."""
        if data_of is None:
            self._unsaid += 1
            return
        self._checked += 1
        if data_of != user:
            self._breached.setdefault((user, url), _Breached(data_of[:LONGEST_TEXT])).times += 1

    def report(self, *, elapsed_seconds: float, users: int, final: bool) -> LoadReport:
        worst = sorted(self._breached.items(), key=lambda item: -item[1].times)[:MOST_BREACHES]
        return LoadReport(
            final=final,
            elapsed_seconds=round(elapsed_seconds, 3),
            users=users,
            kinds=tuple(_figures(name, kind) for name, kind in self._kinds.items()),
            errors=dict(self._errors.most_common()),
            checked=self._checked,
            unsaid=self._unsaid,
            violations=sum(breached.times for breached in self._breached.values()),
            users_breached=len({user for user, _ in self._breached}),
            breaches=tuple(
                Breach(user=user, url=url, times=breached.times, data_of=breached.data_of)
                for (user, url), breached in worst
            ),
            events=self.events,
            events_lost=self.events_lost,
            busiest_cpu_percent=self.busiest_cpu_percent,
        )


def _figures(name: str, kind: _Kind) -> RequestFigures:
    p50, p95, p99 = kind.percentiles(0.5, 0.95, 0.99)
    return RequestFigures(name=name, requests=kind.requests, failures=kind.failures, p50_ms=p50, p95_ms=p95, p99_ms=p99)
