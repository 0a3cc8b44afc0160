"""An application in a process of its own: for every line on its standard input it answers whether a flag is on.

python -m tests.flagstore.asking_application plain|asyncio|forked URL ENVIRONMENT GROUP FLAG USER EMAIL
"""

import asyncio
import os
import sys

from flagstore.client import Flags


def answer(enabled: bool) -> None:
    sys.stdout.write("on\n" if enabled else "off\n")
    sys.stdout.flush()


async def answer_in_asyncio(flags: Flags, question: tuple[str, str, str]) -> None:
    while await asyncio.to_thread(sys.stdin.readline):
        await flags.ensure_fresh()
        answer(flags.is_enabled(*question))


def main(kind: str, url: str, environment: str, group: str, *question: str) -> None:
    flag, user, email = question
    with Flags(url, environment, group) as flags:
        if kind == "asyncio":
            asyncio.run(answer_in_asyncio(flags, (flag, user, email)))
            return
        if kind == "forked" and (child := os.fork()):
            # As a server with workers does: the parent has started the flags, its child answers.
            os.waitpid(child, 0)
            return
        while sys.stdin.readline():
            answer(flags.is_enabled(flag, user, email))


if __name__ == "__main__":
    main(*sys.argv[1:])
