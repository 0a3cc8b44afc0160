"""What an examination found: a line of `rollout doctor` or of `rollout plan check`."""

from typing import Literal

from pydantic import BaseModel

Level = Literal["ok", "warn", "bad"]


class Finding(BaseModel):
    """One thing that was looked at. `bad` keeps rollouts from working, or somebody is exposed with nobody watching."""

    level: Level
    what: str
    text: str


def in_a_line(finding: Finding) -> str:
    return f"{finding.level:<5}{finding.what}: {finding.text}"
