"""How what a gate has learnt is stored between two intervals: strictly read, and with no more digits than it needs."""

from pydantic import ConfigDict

DIGITS = 6
"""Of what is kept about bursts: an estimate needs no more, and the state has to stay small."""
STORED = ConfigDict(extra="forbid")
"""States are plain dataclasses, since one is made for each interval; pydantic checks them only where they are read."""
