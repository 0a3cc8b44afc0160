"""A load test from the command line: what was asked for, the view while it runs, and how it ended."""

import asyncio
from typing import Any

import httpx
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.settings import Settings
from loadtest.process import LoadTestBroke, LoadTestUnavailable, must_be_available, started
from rollout.load_test import PATTERNS_IN_WORDS, LoadReport, LoadTest, broken_limits
from starter.load_views import LoadLines, LoadScreen, NothingShown, result_view
from starter.outcome import CommandEnds, ExitCode, failed, refused
from starter.terminal import output, say, say_json

_ANSWER_WITHIN_SECONDS = 10.0
# Fields whose option is called otherwise.
_OPTIONS = {"urls": "--url", "health_paths": "--health-path", "email_domains": "--email-domain"}


def load_tested(addresses: list[str], given: dict[str, Any], *, as_json: bool) -> None:
    """Run it and print the result.

    Raises:
        CommandEnds: refused, nothing was started; failed, a limit was broken or there is no verdict; left by Ctrl-C.
    """
    try:
        must_be_available()
    except LoadTestUnavailable as missing:
        raise refused(str(missing)) from missing
    test = _test(addresses or _sandbox_services(), given)
    seen: list[LoadReport] = []
    try:
        report = asyncio.run(_run(test, seen, as_json=as_json))
    except LoadTestBroke as broke:
        raise failed(f"no verdict: {broke}") from broke
    except KeyboardInterrupt:
        if seen and not as_json:
            output().print(result_view(test, seen[-1]))
        raise CommandEnds(ExitCode.LEFT, "Left before the end: no verdict. Nothing is left running.") from None
    broken = broken_limits(test, report)
    if as_json:
        say_json(_for_programs(test, report, broken))
    else:
        output().print(result_view(test, report))
    if broken:
        raise failed("\n".join(["Not passed:", *(f"  {limit}" for limit in broken)]))
    if not as_json:
        say("Passed: every limit is kept.")


async def _run(test: LoadTest, seen: list[LoadReport], *, as_json: bool) -> LoadReport:
    console = output()
    screen = NothingShown() if as_json else LoadScreen(console, test) if console.is_terminal else LoadLines(test)
    with screen:
        async with started(test) as reports:
            async for report in reports:
                seen[:] = [report]
                screen.show(report)
    return seen[-1]


def _test(addresses: list[str], given: dict[str, Any]) -> LoadTest:
    try:
        return LoadTest.model_validate(
            {"urls": addresses, **{name: value for name, value in given.items() if value not in (None, [])}}
        )
    except ValidationError as wrong:
        # An address that is wrong leaves none, which would be told beside it.
        told = [error for error in wrong.errors() if not (error["type"] == "too_short" and error["input"])]
        raise refused("\n".join(_problem(error) for error in told)) from None


def _problem(error: ErrorDetails) -> str:
    if not error["loc"]:
        return f"--mixed-traffic: {error['ctx']['error']}"
    field = str(error["loc"][0])
    option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
    return f"{option}: {_in_words(error)} (given: {error['input']!r})"


def _in_words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_pattern_mismatch":
            return PATTERNS_IN_WORDS[context["pattern"]]
        case _:
            return error["msg"]


def _sandbox_services() -> list[str]:
    """Where the services of a running sandbox answer their users."""
    sandbox = Settings.from_environment().sandbox_url
    if sandbox is None:
        raise refused(
            "--url: which application? Name its base address, or set ROLLOUT_SANDBOX_URL "
            "(`rollout local` writes it to its local.env)"
        )
    try:
        answer = httpx.get(f"{sandbox}/services", timeout=_ANSWER_WITHIN_SECONDS).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise failed(f"the sandbox at {sandbox} does not answer: {error}") from error
    urls = [service["uri"] for service in answer]
    if not urls:
        raise refused(f"--url: the sandbox at {sandbox} has no service")
    return urls


def _for_programs(test: LoadTest, report: LoadReport, broken: list[str]) -> dict[str, Any]:
    figures = report.model_dump(mode="json", exclude={"final", "users"})
    return {
        "passed": not broken,
        "broken_limits": broken,
        "requests": report.requests,
        "failures": report.failures,
        "error_rate": report.error_rate,
        "requests_per_second": round(report.throughput(), 3),
        **figures,
        "test": test.model_dump(mode="json"),
    }
