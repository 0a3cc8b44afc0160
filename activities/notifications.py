"""Giving a notice to its channels. Each channel is a file of its own beside this one's `LogChannel`; the worker wires
them by name, and a plan names the ones it wants.
"""

import logging
from collections.abc import Mapping
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import Failure
from rollout.messages import Notice

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "page": logging.CRITICAL}


class Channel(Protocol):
    async def deliver(self, notice: Notice) -> None:
        """Deliver once; raises on failure. `notice.key` lets the far side recognise a repeated delivery."""
        ...


class LogChannel:
    """Notices as lines of the worker's log, each with its key."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    async def deliver(self, notice: Notice) -> None:
        self._logger.log(
            _LEVELS[notice.severity], "%s: %s — %s [%s]", notice.workflow_id, notice.title, notice.text, notice.key
        )


class NotificationActivities:
    """Sends notices through the channels the worker knows."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    @activity.defn
    async def notify(self, notice: Notice) -> None:
        """Deliver to every channel of the notice.

        Raises:
            ApplicationError: a channel is unknown (not retryable), or one failed (retried).
        """
        unknown = [name for name in notice.channels if name not in self._channels]
        if unknown:
            raise ApplicationError(
                f"no channel {', '.join(unknown)} on this worker; it has {', '.join(sorted(self._channels))}",
                type=Failure.INVALID_REQUEST,
                non_retryable=True,
            )
        for name in notice.channels:
            await self._channels[name].deliver(notice)
