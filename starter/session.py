"""What a command needs that talks to Temporal: settings, a connection, and the rollouts behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from config.settings import Settings
from config.temporal import connect
from starter.rollouts import Rollouts, ui_link

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    settings: Settings
    rollouts: Rollouts

    def link(self, workflow_id: str, run_id: str) -> str | None:
        """Where a person sees the run in the Temporal UI, if we know where that is."""
        return ui_link(self.settings.temporal_ui_url, self.rollouts.client.namespace, workflow_id, run_id)


def in_session(command: Callable[[Session], Awaitable[T]]) -> T:
    """Run a command against Temporal.

    Raises:
        SettingsError: the environment is wrong.
        TemporalUnreachable: nothing answers.
    """

    async def connected() -> T:
        settings = Settings.from_environment()
        return await command(Session(settings, Rollouts(await connect())))

    return asyncio.run(connected())
