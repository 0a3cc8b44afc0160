"""`python -m sandbox`: Google Cloud Run, Cloud Monitoring and Secret Manager on loopback, until a signal ends it.

Prints one line of JSON when it answers: `{"grpc": "127.0.0.1:n", "http": "http://127.0.0.1:n", "pid": n}`.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from redis.exceptions import RedisError

from sandbox.control_requests import in_plain_words
from sandbox.options import InstalledSecret, InstalledService, SandboxOptions
from sandbox.server import Sandbox

_USAGE_ERROR = 2
_FAILURE = 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        options = _options(given)
    except ValidationError as error:
        sys.stderr.write(f"{parser.prog}: error: {_problems(error)}\n")
        return _USAGE_ERROR
    try:
        asyncio.run(_serve(options))
    except (OSError, RedisError) as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return _FAILURE
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--grpc", metavar="HOST:PORT", help="Google's APIs; port 0 takes a free one")
    parser.add_argument("--http", metavar="HOST:PORT", help="control plane and the services' own addresses")
    parser.add_argument("--redis-url", metavar="URL", help="where the flag snapshots are")
    parser.add_argument(
        "--service",
        action="append",
        dest="services",
        type=_installed_service,
        metavar="PROJECT/REGION/NAME=IMAGE[@ENV:GROUP]",
        help="a service that is there from the start; may be given several times",
    )
    parser.add_argument(
        "--secret",
        action="append",
        dest="secrets",
        type=_installed_secret,
        metavar="PROJECT/NAME=VALUE",
        help="a secret with one enabled version; may be given several times, each further one of a name is a version",
    )
    parser.add_argument("--etag", choices=("enforce", "ignore"), help="what a stale etag does")
    parser.add_argument("--inflight", choices=("supersede", "abort"), help="what an update during another one does")
    parser.add_argument("--reconcile-seconds", type=float, metavar="S")
    parser.add_argument("--sample-seconds", type=float, metavar="S")
    parser.add_argument("--ingest-delay-seconds", type=float, metavar="S")
    parser.add_argument("--past-traffic-seconds", type=float, metavar="S")
    parser.add_argument("--requests-per-second", type=float, metavar="R")
    parser.add_argument(
        "--app-command",
        metavar="COMMAND",
        help="run this for every revision and route real requests to it, instead of making traffic up",
    )
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="know again all that a sandbox with this file has ever answered"
    )
    return parser


def _installed_service(text: str) -> InstalledService:
    try:
        return InstalledService.parse(text)
    except ValidationError as error:
        raise ArgumentTypeError(_problems(error)) from error
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _installed_secret(text: str) -> InstalledSecret:
    try:
        return InstalledSecret.parse(text)
    except ValidationError as error:
        raise ArgumentTypeError(_problems(error)) from None
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _problems(error: ValidationError) -> str:
    return "; ".join(": ".join([*map(str, each["loc"]), in_plain_words(each)]) for each in error.errors())


def _options(given: Namespace) -> SandboxOptions:
    return SandboxOptions(**{name: value for name, value in vars(given).items() if value is not None})


async def _serve(options: SandboxOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Sandbox.started(options) as sandbox:
        where = {"grpc": sandbox.grpc_target, "http": sandbox.http_url, "pid": os.getpid()}
        sys.stdout.write(json.dumps(where, separators=(",", ":")) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # grpc's threads may abort the process while the interpreter takes them down; nothing is left to do by then.
    os._exit(code)
