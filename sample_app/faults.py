"""What can be made to go wrong in the application while it runs, for users with the new feature or for everybody."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Faults(BaseModel):
    """Rates are shares of requests, 0 to 1. `to` says who suffers: users on the treated path only, or all of them.

    `spared_domain` spares everybody with an address there, as a fault that only customers' data brings to light spares
    the people of the company who try the feature first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    to: Literal["treated", "all"] = "treated"
    spared_domain: str | None = Field(default=None, min_length=1)
    error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    latency_ms: float = Field(default=0.0, ge=0.0, le=60_000.0, description="added to every answer")
    isolation_breach_rate: float = Field(default=0.0, ge=0.0, le=1.0, description="answered with another user's state")
    cascade_rate: float = Field(default=0.0, ge=0.0, le=1.0, description="failures that take the next request along")
    leak_kib_per_request: int = Field(default=0, ge=0, le=1024)
    websocket_silence: bool = False

    def reach(self, *, treated: bool, email: str | None) -> bool:
        """Whether a user meets these faults."""
        spared = self.spared_domain is not None and (email or "").rpartition("@")[2] == self.spared_domain
        return not spared and (treated or self.to == "all")


NO_FAULTS = Faults()
