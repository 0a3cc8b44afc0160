"""What people see of a running rollout in the Temporal UI: current details and search attributes."""

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from rollout.messages import SEARCH_EXPOSURE, SEARCH_PLAN, SEARCH_STAGE, SEARCH_STATUS
    from rollout.progress import RolloutProgress
    from rollout.wording import current_details_markdown

_PLAN = SearchAttributeKey.for_keyword(SEARCH_PLAN)
_STAGE = SearchAttributeKey.for_keyword(SEARCH_STAGE)
_STATUS = SearchAttributeKey.for_keyword(SEARCH_STATUS)
_EXPOSURE = SearchAttributeKey.for_keyword(SEARCH_EXPOSURE)


class Presentation:
    """Renews details at every transition; writes search attributes only where they changed, to keep history short."""

    def __init__(self, *, search_attributes: bool) -> None:
        self._search_attributes = search_attributes
        self._shown: tuple[str, ...] = ()

    def renew_details(self, progress: RolloutProgress) -> None:
        """No event of the history: what changes between two transitions may be shown as often as it changes."""
        workflow.set_current_details(current_details_markdown(progress))

    def show(self, progress: RolloutProgress) -> None:
        self.renew_details(progress)
        if not self._search_attributes:
            return
        values = (progress.plan, progress.current.name, progress.status.value, progress.exposed_to)
        if values == self._shown:
            return
        self._shown = values
        keys = (_PLAN, _STAGE, _STATUS, _EXPOSURE)
        workflow.upsert_search_attributes([key.value_set(value) for key, value in zip(keys, values, strict=True)])
