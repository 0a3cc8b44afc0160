"""When something was, as people read it: with its day wherever it may be read on another one."""

from datetime import datetime


def time_of_day(moment: datetime, read_at: datetime | None = None, *, seconds: bool = False) -> str:
    """`14:32` where that is the day on which it is read, `2026-11-23 14:32` otherwise, in the moment's own zone.

    What is kept and read at any time later has no `read_at`.
    """
    same_day = read_at is not None and read_at.astimezone(moment.tzinfo).date() == moment.date()
    return f"{moment:{'' if same_day else '%Y-%m-%d '}%H:%M{':%S' if seconds else ''}}"
