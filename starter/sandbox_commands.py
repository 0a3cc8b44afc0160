"""`rollout sandbox fault`: what goes wrong in a running sandbox, in Google's APIs or inside its real applications."""

import argparse
import json
from collections.abc import Sequence
from math import inf, nan
from typing import Any, NoReturn

import httpx

from config.settings import Settings
from starter.outcome import CommandEnds, failed, refused

USAGE = (
    "rollout sandbox fault                         what is switched on\n"
    "rollout sandbox fault --method METHOD --code CODE [--count N] [--after-commit] [--delay-seconds S]\n"
    "                                              calls of one method of Google's APIs fail, such as UpdateService "
    "with UNAVAILABLE;\n"
    "                                              with --after-commit they take effect and their answer is lost; with "
    "--delay-seconds\n"
    "                                              they are late, and without --code that is all; all calls, or N\n"
    "rollout sandbox fault --reconcile-seconds S   changes of services take S seconds\n"
    "rollout sandbox fault --fails-to-start IMAGE  revisions of an image do not come up\n"
    "rollout sandbox fault --metrics outage        no metric has a point\n"
    "rollout sandbox fault IMAGE NAME=VALUE …      the applications of an image have these faults, and no others\n"
    "rollout sandbox fault --clear                 take all of them back\n"
    "The sample application has error_rate, isolation_breach_rate, cascade_rate (0 to 1), latency_ms, "
    "leak_kib_per_request, websocket_silence=true; to=treated (what holds unless said) or to=all; and "
    "spared_domain=example.com for those who do not meet it."
)
_ANSWER_WITHIN_SECONDS = 10.0
_OF_A_METHOD = ("code", "count", "after_commit", "delay_seconds")
_API, _APPLICATIONS, _IMAGES, _SERVICES = "/faults", "/application-faults", "/behaviours", "/services"
_FAILS = "fails_to_start"


def fault(arguments: list[str]) -> str:
    """Show, switch or take back faults; answers those in force, one per line.

    Raises:
        CommandEnds: refused, by us, by the sandbox or by the application in its own words; failed, the sandbox does
            not answer.
    """
    address = Settings.from_environment().sandbox_url
    if address is None:
        raise refused("ROLLOUT_SANDBOX_URL is not set: `rollout local` writes it to its local.env")
    change = _change(arguments)
    if change is None and arguments:
        _ask(address, "DELETE", _API)
        for image in _failing(address):
            _let_start(address, image, fails=False)
    elif change is not None and change[0] == _IMAGES:
        _let_start(address, change[1]["image"], fails=True)
    elif change is not None:
        path, body = change
        _ask(address, "PUT", path, body)
    return "\n".join(_in_force(address, clear=change is None and bool(arguments))) or "no faults"


def _failing(address: str) -> list[str]:
    return [image for image, behaviour in _ask(address, "GET", _IMAGES).items() if behaviour.get(_FAILS)]


def _let_start(address: str, image: str, *, fails: bool) -> None:
    """Whether the revisions of an image come up; the rest of its behaviour stays what it is."""
    behaviour = _ask(address, "GET", _IMAGES).get(image, {})
    _ask(address, "PUT", _IMAGES, {**behaviour, "image": image, _FAILS: fails})


def _in_force(address: str, *, clear: bool) -> list[str]:
    api = _ask(address, "GET", _API)
    lines = [f"{each.pop('method')}: {json.dumps(_said(each))}" for each in api["faults"]]
    lines += [f"{name}: {json.dumps(api[name])}" for name in ("metrics", "reconcile_seconds") if api[name] is not None]
    lines += [f"{image}: {json.dumps({_FAILS: True})}" for image in _failing(address)]
    try:
        applications = _ask(address, "DELETE" if clear else "GET", _APPLICATIONS)
    except _NoApplications:
        return lines
    running = {image for service in _ask(address, "GET", _SERVICES) for image in service["revisions"].values()}
    return lines + [
        f"{image}: {json.dumps(faults)}{'' if image in running else ' (nothing runs it yet)'}"
        for image, faults in applications.items()
    ]


def _said(api_fault: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, without what holds anyway."""
    return {name: value for name, value in api_fault.items() if name in _OF_A_METHOD and value}


class _NoApplications(CommandEnds):
    """The traffic of this sandbox is made up."""


def _ask(address: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        answer = httpx.request(method, f"{address}{path}", json=body, timeout=_ANSWER_WITHIN_SECONDS)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise failed(f"the sandbox at {address} does not answer: {error}") from error
    if answer.is_success:
        return said
    end = refused(said["error"]) if answer.is_client_error else failed(said["error"])
    if answer.status_code == httpx.codes.CONFLICT and path == _APPLICATIONS:
        raise _NoApplications(end.code, end.text)
    raise end


def _change(arguments: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Where to put what; None where nothing is switched: nothing was said, or `--clear`.

    Raises:
        CommandEnds: it is not understood.
    """
    match arguments:
        case [] | ["--clear"]:
            return None
        case [image, first, *more] if not image.startswith("-"):
            return _APPLICATIONS, {"image": image, **dict(_named(each) for each in (first, *more))}
        case [option, *_] if option.startswith("--"):
            wanted = _api_fault(arguments)
            return (_IMAGES, {"image": wanted[_FAILS]}) if _FAILS in wanted else (_API, wanted)
    raise _not_understood(" ".join(arguments))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise refused(f"{message}. There are:\n{USAGE}")


def _api_fault(arguments: Sequence[str]) -> dict[str, Any]:
    parser = _Parser(add_help=False, allow_abbrev=False)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--method")
    kinds.add_argument("--reconcile-seconds", type=_seconds)
    kinds.add_argument("--metrics")
    kinds.add_argument("--fails-to-start")
    parser.add_argument("--code")
    parser.add_argument("--count", type=int)
    parser.add_argument("--after-commit", action="store_const", const=True)
    parser.add_argument("--delay-seconds", type=_seconds)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    of_a_method = [f"--{name.replace('_', '-')}" for name in _OF_A_METHOD if name in given]
    if "method" not in given and of_a_method:
        parser.error(f"{', '.join(of_a_method)}: only with --method")
    if "method" in given and not {"code", "delay_seconds"} & given.keys():
        parser.error("--method: needs a --code to fail with, or --delay-seconds to be late by")
    return given


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if not 0 <= seconds < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _named(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise _not_understood(text)
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        # What is no JSON is a text; whoever takes it says whether that may be.
        return name, value


def _not_understood(text: str) -> CommandEnds:
    return refused(f"{text!r} is not understood. There are:\n{USAGE}")
