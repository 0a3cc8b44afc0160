"""What measurements show of a fault: each turns a healthy sample into what is measured instead."""

from datetime import datetime

from rollout.measurement import Counts, Group, Histogram, Sample
from tests.rollout.samples import latencies


def errors_of_treated_users(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    if metric.endswith("request_count") and group == "treated" and isinstance(healthy, Counts):
        return Counts(total=healthy.total, bad=healthy.total // 10)
    return healthy


def one_violation(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    if metric.endswith("isolation_checks") and group == "treated" and isinstance(healthy, Counts):
        return Counts(total=healthy.total, bad=1)
    return healthy


def one_cascade(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    return Counts(total=1) if metric.endswith("cascade_failures") and group == "all" else healthy


def errors_of_everybody(metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
    failing = metric.endswith("request_count") and isinstance(healthy, Counts)
    return Counts(total=healthy.total, bad=healthy.total // 5) if failing and isinstance(healthy, Counts) else healthy


def broken_isolation(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample:
    treated = metric.endswith("isolation_checks") and group == "treated"
    return Counts(total=healthy.total, bad=healthy.total // 2) if treated and isinstance(healthy, Counts) else healthy


def slow_websockets(metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample:
    slowed = metric.endswith("websocket_event_latencies")
    return latencies(healthy.total, 200.0) if slowed and isinstance(healthy, Histogram) else healthy


def no_events_for_treated(metric: str, group: Group, _end: datetime, healthy: Sample) -> Sample | None:
    silent = metric.endswith("websocket_event_latencies") and group == "treated"
    return None if silent else healthy


def no_events_at_all(metric: str, _group: Group, _end: datetime, healthy: Sample) -> Sample | None:
    return None if metric.endswith("websocket_event_latencies") else healthy
