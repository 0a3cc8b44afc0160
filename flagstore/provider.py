# ruff: noqa: ARG002  (OpenFeature calls these methods by the names of all their arguments)
"""The flags behind OpenFeature, for applications that ask through its client (install the extra `openfeature`).

    provider = RolloutProvider(url, environment="production", group="request-isolation")
    api.set_provider_and_wait(provider, domain="rollout")
    api.get_client(domain="rollout").get_boolean_value("request_isolation", False, EvaluationContext(user_id))

The targeting key is the user id, the attribute `email` the address. Always ask with the default False: a question that
is an error (an unknown flag, no user id) is answered by OpenFeature with the default of whoever asked.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    InvalidContextError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from flagstore.answers import FlagDetails, Happening
from flagstore.client import Flags
from flagstore.held import Leases, Limit
from rollout.flags import FlagSnapshot

NAME = "rollout-flags"
STALE_TOLD_AFTER = timedelta(milliseconds=100)
"""OpenFeature calls every provider ready whose initialisation returned; a silent store is told right after that."""

_REASONS = {
    "AUDIENCE": Reason.TARGETING_MATCH,
    "SPLIT": Reason.SPLIT,
    "FULL": Reason.STATIC,
    "DISABLED": Reason.DISABLED,
    "LATCHED": Reason.DISABLED,
    "NOT_READY": Reason.DEFAULT,
}


class RolloutProvider(AbstractProvider):
    """`flags` answers the same questions without OpenFeature, for hot loops."""

    def __init__(
        self,
        url: str,
        environment: str,
        group: str,
        *,
        leases: Leases | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__()
        self.flags = Flags(url, environment, group, leases=leases, instance=instance, listener=self._tell)
        self._regressed = False
        self._telling: threading.Timer | None = None

    def get_metadata(self) -> Metadata:
        return Metadata(name=NAME)

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Never fails: with the store unreachable every flag is off and the provider is stale until it answers."""
        self.flags.start()
        if self.flags.status().silent_for is None:
            self._telling = threading.Timer(STALE_TOLD_AFTER.total_seconds(), self._tell_stale_if_it_still_is)
            self._telling.daemon = True
            self._telling.start()

    def shutdown(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        self.flags.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        found = self._details(flag_key, evaluation_context)
        return FlagResolutionDetails(found.enabled, **_explained(found))

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The name of the stage that the flag is in."""
        found = self._details(flag_key, evaluation_context)
        return FlagResolutionDetails(found.stage, **_explained(found))

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """`enabled`, and where the flag stands: `stage`, `epoch`, `rev`, `latch`."""
        found = self._details(flag_key, evaluation_context)
        return FlagResolutionDetails({"enabled": found.enabled, **_metadata(found)}, **_explained(found))

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        raise _no_number(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        raise _no_number(flag_key)

    def _details(self, flag: str, context: EvaluationContext | None) -> FlagDetails:
        user = context.targeting_key if context is not None else None
        email = context.attributes.get("email") if context is not None else None
        found = self.flags.details(flag, user, email if isinstance(email, str) else None)
        match found.reason:
            case "UNKNOWN_FLAG":
                raise FlagNotFoundError(f"{flag} does not belong to this group of flags")
            case "NO_USER_KEY":
                raise TargetingKeyMissingError(f"{flag} is decided by the user id, and there is none")
            case "BAD_USER_KEY":
                raise InvalidContextError(f"{flag} is decided by the user id, and it has no UTF-8 form")
            case _:
                return found

    def _tell(self, happening: Happening, snapshot: FlagSnapshot | None, changed: tuple[str, ...]) -> None:
        event = ProviderEventDetails(
            flags_changed=list(changed),
            message=happening.value,
            metadata={} if snapshot is None else {"epoch": snapshot.epoch, "rev": snapshot.rev},
        )
        match happening:
            case Happening.STALE:
                self.emit_provider_stale(event)
            case Happening.READY:
                self.emit_provider_ready(event)
            case Happening.REGRESSED:
                self._regressed = True
                event.error_code = ErrorCode.GENERAL
                self.emit_provider_error(event)
            case Happening.CHANGED:
                self.emit_provider_configuration_changed(event)
                if self._regressed and self.flags.status().limit is not Limit.REGRESSED:
                    self._regressed = False
                    self.emit_provider_ready(event)

    def _tell_stale_if_it_still_is(self) -> None:
        if self.flags.status().silent_for is None:
            self.emit_provider_stale(ProviderEventDetails(message=Happening.STALE.value))


def _explained(found: FlagDetails) -> dict[str, Any]:
    return {
        "variant": "on" if found.enabled else "off",
        "reason": _REASONS[found.reason] if found.limit in {Limit.NONE, Limit.NOT_READY} else Reason.STALE,
        "flag_metadata": _metadata(found),
    }


def _metadata(found: FlagDetails) -> dict[str, bool | int | float | str]:
    return {"stage": found.stage, "epoch": found.epoch, "rev": found.rev, "latch": found.latch}


def _no_number(flag: str) -> TypeMismatchError:
    return TypeMismatchError(f"{flag} is a feature flag, not a number: ask for a boolean, a string or an object")
