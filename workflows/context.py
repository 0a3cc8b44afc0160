"""What every part of the workflow shares: the plan, the record, what people see and hear, and what is waited for."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows import activity_options
from workflows.activity_options import summarised
from workflows.presentation import Presentation
from workflows.timers import sleep_for

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure
    from activities.notifications import NotificationActivities
    from rollout.messages import Notice, RolloutRequest
    from rollout.plan import RolloutPlan
    from rollout.progress import EventKind, RolloutProgress, RolloutStatus
    from rollout.resumption import how_resumed

Severity = Literal["info", "warning", "page"]
Standing = tuple[RolloutStatus, str, str]
"""What it does, why, and what comes next."""


class LongHistory(Exception):  # noqa: N818  (a reason to go on in a new run, not an error of the program)
    """The server asks for the run to be continued as new, with the record as it stands."""


class RolloutContext:
    """One per workflow run. Holds no decision: parts change the record through it, so that people always see it."""

    def __init__(self, request: RolloutRequest, progress: RolloutProgress) -> None:
        self.request = request
        self.plan: RolloutPlan = request.plan
        self.progress = progress
        # A stage and a person may want to write flags at the same time: each sees what the other has written.
        self.writing_flags = asyncio.Lock()
        self._presentation = Presentation(search_attributes=request.search_attributes)
        self._waiting_for: tuple[str, datetime] = ("", workflow.now())
        self._attentive = False
        self._wakes_at = workflow.now()
        self._going_back = False
        self._stays = False
        # A dict, because a set of tasks has no order that a replay could repeat.
        self._notices: dict[asyncio.Task[None], None] = {}
        self._calls: dict[asyncio.Task[Any], None] = {}
        self._given_up: list[asyncio.Task[Any]] = []

    def leave_the_way_forward(self) -> None:
        self._going_back = True

    @property
    def goes_back(self) -> bool:
        return self._going_back

    def must_go_on(self) -> None:
        """Called on the way forward after every call, by `call_forward`.

        Raises:
            asyncio.CancelledError: everything is being taken back.
        """
        if self._going_back:
            raise asyncio.CancelledError

    @property
    def is_to_be_continued(self) -> bool:
        """Whether the server asks for a new run, and nothing keeps this one from ending at once.

        What was told or asked for last may take a day, and a call that was given up part of a minute. Until all of it
        is settled, whatever is judged goes on being judged.
        """
        suggested = workflow.info().is_continue_as_new_suggested() and not self._stays
        settled = suggested and not self._notices and workflow.all_handlers_finished() and not self._goes_back_quickly
        return settled and not any(map(self.gave_up, self._calls))

    @property
    def _goes_back_quickly(self) -> bool:
        """No rollback is delayed by a new run while it may be over soon."""
        back = self.progress.rollback
        return back is not None and workflow.now() - back.began_at < activity_options.PAGE_AFTER

    def end_if_long(self) -> None:
        """Called where a new run takes up what this one leaves. Calls that have to end first are given up.

        Raises:
            LongHistory: it does so now.
        """
        if not self.is_to_be_continued:
            return
        if not workflow.patched("waits-are-continued-as-new"):
            self._stays = True
            return
        if not self._calls:
            raise LongHistory
        for call in self._calls:
            self._given_up.append(call)
            call.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it. Raises as `end_if_long`, whenever that is."""
        while True:
            await workflow.wait_condition(lambda: condition() or self.is_to_be_continued)
            if condition():
                return
            # A notice that began in the same moment puts the new run off once more.
            self.end_if_long()

    async def until_done(self, done: Callable[[], bool]) -> None:
        """As `until`, for a call that another run can make again: what it has brought about by then is found there."""
        await workflow.wait_condition(lambda: done() or self.is_to_be_continued)
        if done():
            return
        if workflow.patched("calls-are-continued-as-new"):
            await self.until(done)
        else:
            await workflow.wait_condition(done)

    def judges_beside_what_takes_long(self) -> bool:
        return workflow.patched("judged-beside-what-takes-long")

    @contextmanager
    def in_one_run(self) -> Iterator[None]:
        """For what a new run would have to do all over again."""
        before, self._stays = self._stays, True
        try:
            yield
        finally:
            self._stays = before

    @property
    def owner(self) -> str:
        """Who owns flags and services: this rollout over all its continued runs."""
        return f"{self.progress.workflow_id}/{workflow.info().first_execution_run_id}"

    def stand(self, status: RolloutStatus, why: str, following: str) -> None:
        """Where the rollout stands, why, and what comes next. Everything people look at is renewed."""
        self.progress.but_for_a_pause = self.but_for_a_pause if status is RolloutStatus.PAUSED else None
        self.progress.status, self.progress.why, self.progress.next = status, why, following
        self._presentation.show(self.progress)

    @property
    def but_for_a_pause(self) -> Standing:
        """What it stands at, or would if nobody had paused it."""
        return self.progress.but_for_a_pause or (self.progress.status, self.progress.why, self.progress.next)

    def renew_details(self) -> None:
        """Show what was done meanwhile, where what the rollout stands at stays the same."""
        self._presentation.renew_details(self.progress)

    def stand_as_without_the_pause(self) -> None:
        """What it did beside being paused, it does or waits for still; what follows from the resuming stands next."""
        if self.progress.status is RolloutStatus.PAUSED:
            self.stand(*self.but_for_a_pause)

    def hold_ended_beside_a_pause(self, following: str) -> None:
        """A person decided about what held it: resumed, it stands at that no longer."""
        stood_at = self.progress.but_for_a_pause
        if stood_at is not None and stood_at[0] is RolloutStatus.HOLDING:
            soaks = self.progress.current.state == "soaking"
            goes_on = RolloutStatus.SOAKING if soaks else RolloutStatus.ENTERING
            self.progress.but_for_a_pause = (goes_on, "what held it was resolved while it was paused", following)
        if self.progress.status is RolloutStatus.PAUSED:
            self.progress.next = how_resumed(self.progress)
            self.renew_details()

    def note(self, kind: EventKind, text: str, by: str | None = None) -> None:
        self.progress.note(workflow.now(), kind, text, by)

    def tell(self, severity: Severity, title: str, text: str) -> None:
        """Send one notice, beside whatever goes on. `settle_notices` waits for those still under way."""
        notice = Notice(
            key=str(workflow.uuid4()),
            severity=severity,
            title=title,
            text=text,
            workflow_id=self.progress.workflow_id,
            channels=self.plan.notifications.channels,
        )
        task = asyncio.create_task(self._deliver(notice))
        self._notices[task] = None
        task.add_done_callback(self._notices.pop)

    async def _deliver(self, notice: Notice) -> None:
        try:
            await workflow.execute_activity_method(
                NotificationActivities.notify,
                notice,
                **summarised(activity_options.NOTIFY, f"{notice.severity}: {notice.title}"),
            )
        except ActivityError as failure:
            # A channel that stays silent for a day must not stop a rollout; the record keeps what was not heard.
            self.note("failure", f"notice “{notice.title}” was not delivered: {reason_of(failure)}")

    @property
    def is_telling(self) -> bool:
        return bool(self._notices)

    async def settle_notices(self) -> None:
        if self._notices:
            await workflow.wait(list(self._notices))

    def ends_before_the_run(self, call: asyncio.Task[Any]) -> None:
        """Called for a call that would take one of another run, which asks for the same, for somebody else's."""
        self._calls[call] = None
        call.add_done_callback(self._calls.pop)
        # One that was left may fail, which nobody waits to hear.
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def gave_up(self, call: asyncio.Task[Any]) -> bool:
        """Whether a call was asked to end, for a new run. By now it may have."""
        return call in self._given_up

    async def calls_ended(self) -> None:
        await workflow.wait_condition(lambda: not self._calls)

    def waiting_for(self, what: str | None, *, since: datetime | None = None) -> None:
        """What is being waited for from now, or `since`; None while only a person or a soak is waited for.

        Whatever lasts longer than `PAGE_AFTER` pages a person, and pages again after each further such time.
        """
        self._waiting_for = (what or "", since or workflow.now())
        if what and not self._attentive:
            self._attentive = True
            self._attention = asyncio.create_task(self._page_what_takes_long())
            if workflow.patched("woken-once-for-what-begins-together"):
                # It has not begun to sleep yet, and what begins in the same moment needs no timer of its own.
                self._wakes_at = self._judged_beside_from
        elif what and since is None:
            self._wake_in_time()

    def _wake_in_time(self) -> None:
        """Whoever pages what was waited for before may sleep for longer than gates may be left unjudged."""
        woken_in_time = workflow.now() < self._wakes_at <= self._judged_beside_from
        if not woken_in_time and self.judges_beside_what_takes_long():
            self._waking = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        """What is waited for by then may have begun later: it is woken for too."""
        while self._waiting_for[0] and (due := self._judged_beside_from) > workflow.now():
            self._wakes_at = due
            await sleep_for(due - workflow.now(), "look after what takes long")

    @property
    def _judged_beside_from(self) -> datetime:
        return self._waiting_for[1] + activity_options.UNJUDGED_AT_MOST

    def _waits_for_a_channel(self) -> bool:
        """With what was told last undelivered, another page would only put off the new run that the history needs."""
        long = workflow.info().is_continue_as_new_suggested() and not self._stays
        return long and self.is_telling and workflow.patched("waits-are-continued-as-new")

    async def _page_what_takes_long(self) -> None:
        """Sleeps from one due time to the next and ends by itself: no step has to cancel a timer."""
        periods = (workflow.now() - self._waiting_for[1]) // activity_options.PAGE_AFTER
        paged: tuple[tuple[str, datetime], int] = (self._waiting_for, periods)
        while self._waiting_for[0]:
            what, since = self._waiting_for
            periods = (workflow.now() - since) // activity_options.PAGE_AFTER
            before = paged[1] if paged[0] == self._waiting_for else 0
            if periods > before and not self._waits_for_a_channel():
                paged = (self._waiting_for, periods)
                minutes = round(activity_options.PAGE_AFTER * periods / timedelta(minutes=1))
                self.note("failure", f"{what}: waited for {minutes} minutes, and goes on")
                self.tell("page", f"Waiting long: {what}", f"{minutes} minutes so far; it goes on being tried.")
            due = self._judged_beside_from
            if due <= workflow.now():
                due = since + activity_options.PAGE_AFTER * (periods + 1)
            self._wakes_at = due
            await sleep_for(due - workflow.now(), "look after what takes long")
        self._attentive = False


def takes_long(since: datetime) -> bool:
    """Whether gates must be judged beside what goes on since then. Whoever is `waiting_for` it is woken in time."""
    return workflow.now() - since >= activity_options.UNJUDGED_AT_MOST


def reason_of(failure: BaseException) -> str:
    """The sentence that an activity failed with, without what Temporal wraps around it or a library said first."""
    cause: BaseException = failure
    while cause.__cause__ is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return cause.message if isinstance(cause, ApplicationError) else str(cause)


def is_change_by_others(failure: ActivityError) -> bool:
    """Whether a call changed nothing because somebody else changed before what it was about."""
    return isinstance(failure.cause, ApplicationError) and failure.cause.type == Failure.FOREIGN_CHANGE
