"""Whether a rollout may be promoted now. Time zones change by law, so they are asked here and never in a workflow."""

from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict
from temporalio import activity

from rollout.windows import Windows


class AskWindow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: Windows
    at: datetime


class WindowAnswer(BaseModel):
    """`why_closed` is None inside a window; outside of it, `opens_at` is when the next one begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    why_closed: str | None = None
    opens_at: datetime | None = None
    opens_in_words: str = ""


@activity.defn
async def ask_window(request: AskWindow) -> WindowAnswer:
    """Ask the plan's windows about a time.

    Raises:
        ZoneInfoNotFoundError: this machine does not know the time zone; another worker may.
    """
    zone = ZoneInfo(request.windows.time_zone)
    why_closed = request.windows.why_closed(request.at, zone)
    if why_closed is None:
        return WindowAnswer()
    opens_at = request.windows.next_opening(request.at, zone)
    in_words = f"{opens_at.astimezone(zone):%A %Y-%m-%d %H:%M} {request.windows.time_zone}"
    return WindowAnswer(why_closed=why_closed, opens_at=opens_at, opens_in_words=in_words)
