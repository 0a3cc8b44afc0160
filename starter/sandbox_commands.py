"""`rollout sandbox fault`: what goes wrong inside the applications of a sandbox that runs real ones."""

import json
from typing import Any

import httpx

from config.settings import Settings
from starter.outcome import CommandEnds, failed, refused

USAGE = (
    "rollout sandbox fault                         what is switched on\n"
    "rollout sandbox fault IMAGE NAME=VALUE …      switch faults of an image; they replace those it had\n"
    "rollout sandbox fault --clear                 take all of them back\n"
    "The sample application has error_rate, isolation_breach_rate, cascade_rate (0 to 1), latency_ms, "
    "leak_kib_per_request, websocket_silence=true, and to=treated (what holds unless said) or to=all."
)
_ANSWER_WITHIN_SECONDS = 10.0


def fault(arguments: list[str]) -> str:
    """Show, switch or take back faults; answers the faults in force as JSON, one image per line.

    Raises:
        CommandEnds: refused, by us or by the application in its own words; failed, the sandbox does not answer.
    """
    address = Settings.from_environment().sandbox_url
    if address is None:
        raise refused("ROLLOUT_SANDBOX_URL is not set: `rollout local` writes it to its local.env")
    method, body = _request(arguments)
    try:
        answer = httpx.request(method, f"{address}/application-faults", json=body, timeout=_ANSWER_WITHIN_SECONDS)
        said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise failed(f"the sandbox at {address} does not answer: {error}") from error
    if answer.is_client_error:
        raise refused(said["error"])
    if answer.is_server_error:
        raise failed(said["error"])
    return "\n".join(f"{image}: {json.dumps(faults)}" for image, faults in said.items()) or "no faults"


def _request(arguments: list[str]) -> tuple[str, dict[str, Any] | None]:
    match arguments:
        case []:
            return "GET", None
        case ["--clear"]:
            return "DELETE", None
        case [image, first, *more] if not image.startswith("-"):
            return "PUT", {"image": image, **dict(_named(each) for each in (first, *more))}
    raise _not_understood(" ".join(arguments))


def _named(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise _not_understood(text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _not_understood(text: str) -> CommandEnds:
    return refused(f"{text!r} is not understood. There are:\n{USAGE}")
