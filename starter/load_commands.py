"""`rollout load-test`: users of a program's making, and what they met."""
# ruff: noqa: PLC0415  (commands import what they need when they run, so that `--help` is quick)

from typing import Annotated

import typer

from starter.options import Json

Addresses = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[URL]…",
        help="Base addresses; without any, the services of the sandbox at ROLLOUT_SANDBOX_URL.",
        show_default=False,
    ),
]


def load_test(
    addresses: Addresses = None,
    url: Annotated[list[str] | None, typer.Option("--url", help="As the argument; may be repeated.")] = None,
    concurrent_users: Annotated[int, typer.Option("--concurrent-users", metavar="N", help="1 to 5000.")] = 100,
    duration: Annotated[
        str, typer.Option("--duration", metavar="S", help="Seconds, or with a unit such as 15m; at most 24h.")
    ] = "60",
    mixed_traffic: Annotated[
        bool, typer.Option("--mixed-traffic", help="Health pages and WebSocket sessions too; else requests alone.")
    ] = False,
    monitor_isolation: Annotated[
        bool, typer.Option("--monitor-isolation", help="Check whose data each answer carries; any breach fails.")
    ] = False,
    max_error_rate: Annotated[str | None, typer.Option("--max-error-rate", metavar="SHARE", help="Such as 1%.")] = None,
    max_p95: Annotated[str | None, typer.Option("--max-p95", metavar="TIME", help="Such as 500ms.")] = None,
    max_lost_events: Annotated[
        int | None, typer.Option("--max-lost-events", metavar="N", help="With --mixed-traffic.")
    ] = None,
    pace: Annotated[str | None, typer.Option(metavar="TIME", help="A user's mean pause between requests.")] = None,
    path: Annotated[str | None, typer.Option(metavar="PATH", help="What users ask for.")] = None,
    health_path: Annotated[
        list[str] | None, typer.Option("--health-path", metavar="PATH", help="May be repeated.")
    ] = None,
    events_path: Annotated[str | None, typer.Option(metavar="PATH", help="The WebSocket of numbered events.")] = None,
    email_domain: Annotated[
        list[str] | None,
        typer.Option("--email-domain", metavar="DOMAIN", help="Of the users' addresses; may be repeated."),
    ] = None,
    user_header: Annotated[str | None, typer.Option(metavar="NAME", help="Tells the application who asks.")] = None,
    email_header: Annotated[str | None, typer.Option(metavar="NAME", help="Tells it the user's address.")] = None,
    owner_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The answer's JSON field that says whose data it carries.")
    ] = None,
    owner_header: Annotated[
        str | None, typer.Option(metavar="NAME", help="The answer's header that says so, in place of the field.")
    ] = None,
    event_owner_field: Annotated[str | None, typer.Option(metavar="FIELD", help="The same in an event.")] = None,
    event_number_field: Annotated[str | None, typer.Option(metavar="FIELD", help="An event's number.")] = None,
    json: Json = False,
) -> None:
    """Let users ask an application of yours, and say what they met: speed, errors, lost events, breached isolation.

    Only ever against an application that is yours to load. What it has to answer is in docs/load-test.md; the defaults
    are the sample application's: /work, /health/overall, /events, X-User, state_of.

    Exit codes: 0 every limit kept; 1 a limit broken, or no verdict; 2 wrong input, and nothing was started.
    """
    from starter.load_testing import load_tested

    given = {
        "concurrent_users": concurrent_users,
        "duration": f"{duration}s" if duration.isdecimal() else duration,
        "mixed_traffic": mixed_traffic,
        "monitor_isolation": monitor_isolation,
        "max_error_rate": max_error_rate,
        "max_p95": max_p95,
        "max_lost_events": max_lost_events,
        "pace": pace,
        "path": path,
        "health_paths": health_path,
        "events_path": events_path,
        "email_domains": email_domain,
        "user_header": user_header,
        "email_header": email_header,
        "owner_field": owner_field,
        "owner_header": owner_header,
        "event_owner_field": event_owner_field,
        "event_number_field": event_number_field,
    }
    load_tested([*(addresses or ()), *(url or ())], given, as_json=json)
