"""Flags by hand, the kill switch and breaking the glass: what on-call types, also while Temporal is down."""

import asyncio
import getpass
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from config.temporal import connect as connect_to_temporal
from flagstore.client import Flags
from flagstore.connection import connect
from flagstore.store import FlagStore, Stages
from local.stack import LocalStack
from rollout.flags import Audience
from rollout.progress import RolloutProgress
from starter.stage_change import EXPOSURES
from tests.starter.command_line import Ran
from tests.starter.conftest import QUICK_PLAN, Look, Rollout, Run
from tests.starter.quick_rollout import closed, it_holds, it_is_watched, it_waits_for_approval

NOBODY_LISTENS = "127.0.0.1:1"
WHO = ("--updated-by", "kim", "--reason", "checkout is down")


@dataclass(frozen=True)
class Shop:
    """Two flags of a plan in an environment of the test's own, owned by nobody."""

    environment: str
    url: str

    @property
    def where(self) -> tuple[str, str]:
        return "--environment", self.environment

    def owned_by(self, owner: str | None, stages: Stages | None = None) -> None:
        async def begin() -> None:
            redis = connect(self.url)
            store = FlagStore(redis, self.environment, "shop")
            begun = await store.begin(
                owner="rollout/shop/first",
                by="kim",
                flags=("basket", "search"),
                audience=Audience(domains=("example.com",), users=()),
                cohort=None,
                ladder=tuple(EXPOSURES.values()),
                candidates={},
                stages=stages,
            )
            assert begun.accepted, begun.sentence
            if owner is None:
                await store.release(owner="rollout/shop/first", outcome="completed")
            await redis.aclose()

        asyncio.run(begin())


@pytest.fixture
def shop(stack: LocalStack) -> Shop:
    shop = Shop(f"test-{uuid.uuid4().hex[:8]}", stack.redis.url)
    shop.owned_by(None)
    return shop


class TestLooking:
    def test_flags_are_listed_with_who_sees_them_and_their_record_is_whole(self, command: Rollout, shop: Shop) -> None:
        assert command("update-stage", "--flag", "basket", "--stage", "internal", *WHO, *shop.where).code == 0

        listed = {row["flag"]: row for row in command("flags", "list", *shop.where, "--json").json}
        assert (listed["basket"]["stage"], listed["basket"]["shown_to"]) == ("internal", "example.com")
        assert (listed["search"]["stage"], listed["search"]["shown_to"]) == ("off", "nobody")
        got = command("flags", "get", "basket", *shop.where)
        assert got.out.startswith(f"basket (shop, {shop.environment}): internal, shown to example.com\n")
        newest = command("flags", "history", *shop.where, "--json").json[0]
        assert (newest["by"], newest["reason"], newest["status"]) == ("kim", "checkout is down", "OK")
        assert "every entry fits the one before it" in command("flags", "history", *shop.where).out

    def test_the_history_of_one_flag_leaves_out_what_others_went_through(self, command: Rollout, shop: Shop) -> None:
        for flag in ("basket", "search"):
            assert command("update-stage", "--flag", flag, "--stage", "internal", *WHO, *shop.where).code == 0

        told = command("flags", "history", "--flag", "basket", *shop.where, "--json").json
        assert (told[0]["op"], list(told[0]["changes"])) == ("set", ["basket"])
        assert all("basket" in entry["changes"] for entry in told)

    def test_a_flag_or_an_environment_that_is_not_there_is_refused_with_those_that_are(
        self, command: Rollout, shop: Shop
    ) -> None:
        flag = command("flags", "get", "baskte", *shop.where)
        assert (flag.code, flag.err) == (2, "--flag baskte: there is no such flag; there are basket, search\n")
        nowhere = command("flags", "list", "--environment", "moon")
        assert nowhere.code == 2
        assert "the flag store holds nothing in moon: no rollout has ever begun there" in nowhere.err

    def test_a_record_that_somebody_changed_is_not_called_whole(
        self, command: Rollout, shop: Shop, stack: LocalStack
    ) -> None:
        async def tamper() -> None:
            redis = connect(stack.redis.url)
            audit = FlagStore(redis, shop.environment, "shop").keys.audit
            await redis.xtrim(audit, maxlen=0, approximate=False)
            await redis.aclose()

        asyncio.run(tamper())
        history = command("flags", "history", *shop.where)
        assert history.code == 1
        assert "shop: the record was tampered with: the newest entries are missing" in history.err


class TestByHand:
    def test_up_goes_one_step_of_the_plan_and_off_always(self, command: Rollout, shop: Shop) -> None:
        def to(stage: str) -> Ran:
            return command("update-stage", "--flag", "basket", "--stage", stage, *WHO, *shop.where)

        skipped = to("full")
        assert skipped.code == 2
        assert "flag basket would skip a step of the plan" in skipped.err
        assert [to(stage).code for stage in ("internal", "canary", "staged", "full", "off")] == [0] * 5
        off = command("flags", "get", "basket", *shop.where, "--json").json
        assert (off["stage"], off["shown_to"]) == ("off", "nobody")

    def test_who_and_why_may_be_left_out_and_are_in_the_record_all_the_same(self, command: Rollout, shop: Shop) -> None:
        assert command("update-stage", "--flag", "basket", "--stage", "internal", *shop.where).code == 0
        assert command("emergency-disable", "shop", "--reason", "checkout is down", *shop.where).code == 0

        disabled, moved = command("flags", "history", "--count", "2", *shop.where, "--json").json
        assert (moved["by"], moved["reason"]) == (getpass.getuser(), "by hand")
        assert (disabled["by"], disabled["reason"]) == (getpass.getuser(), "checkout is down")

    def test_a_flag_whose_owner_cannot_be_asked_is_refused_with_its_id_unless_forced(
        self, command: Rollout, shop: Shop
    ) -> None:
        shop.owned_by("rollout/shop/first")
        arguments = ("update-stage", "--flag", "basket", "--stage", "internal", *WHO, *shop.where)
        refused = command(*arguments)
        assert refused.code == 2
        assert "basket is owned by rollout/shop/first" in refused.err
        gone = command("update-stage", "--flag", "basket", "--stage", "off", *WHO, *shop.where)
        assert gone.code == 2
        assert "basket is owned by rollout/shop/first" in gone.err
        forced = command(*arguments, "--force")
        assert forced.code == 0, forced.err
        assert "internal, written to the store and read back; by kim" in forced.out
        assert "rollout/shop/first sees that somebody else changed its flag, and holds" in forced.out
        last = command("update-stage", "--flag", "basket", "--stage", "off", *WHO, *shop.where, "--force")
        assert last.code == 0, last.err
        assert "rollout/shop/first sees that every flag is off now, and takes the traffic back too" in last.out

    def test_off_goes_through_the_rollout_that_owns_the_flag_and_holds_to_its_end(
        self, command: Rollout, look: Look, quick: None
    ) -> None:
        def to(stage: str) -> Ran:
            return command("update-stage", "--flag", "new_basket", "--stage", stage, *WHO, "--environment", "test")

        unknown = to("half")
        assert unknown.code == 2
        assert "stage 'half': the plan has dark, canary, everybody, and off" in unknown.err
        assert "new_basket is at dark already" in to("dark").err
        changed = to("off")
        assert changed.code == 0, changed.err
        assert changed.out.startswith("new_basket (quick): off, by quick, read back; by kim.\n")
        assert command("approve", "quick").code == 0
        look(closed)
        row = command("flags", "get", "new_basket", "--environment", "test", "--json").json
        assert (row["stage"], row["shown_to"], row["owner"]) == ("off", "nobody", None)

    def test_a_stage_that_nobody_knows_is_refused_with_those_that_are(self, command: Rollout, shop: Shop) -> None:
        wrong = command("update-stage", "--flag", "basket", "--stage", "half", *WHO, *shop.where)
        assert wrong.code == 2
        assert wrong.err == "--stage half: no such stage; there are off, internal, canary, staged, full\n"

    def test_a_plans_own_stages_are_known_by_their_names_without_its_rollout_too(
        self, command: Rollout, shop: Shop
    ) -> None:
        shop.owned_by(None, {"friends": {"basket": EXPOSURES["internal"]}, "tenth": {"basket": EXPOSURES["canary"]}})

        def to(stage: str) -> Ran:
            return command("update-stage", "--flag", "basket", "--stage", stage, *WHO, *shop.where)

        wrong = to("half")
        assert (wrong.code, wrong.err) == (
            2,
            "--stage half: no such stage; the plan of basket has friends, tenth, off\n",
        )
        assert [to(stage).code for stage in ("friends", "tenth", "off", "internal")] == [0] * 4


class TestSuperseding:
    BY_A_FIX = ("--supersede", "--reason", "a fix for the basket")

    def is_watched(
        self, command: Rollout, look: Look, image: str, directory: Path, *, failing: str = "rollback"
    ) -> RolloutProgress:
        """The quick plan after its last stage, in a watch of an hour whose gates do that when they fail."""
        plan, written = directory / "watched.yaml", QUICK_PLAN.read_text(encoding="utf-8")
        plan.write_text(f"{written.replace('action: rollback', f'action: {failing}')}watch: 1h\n", encoding="utf-8")
        assert command("start", plan, "--image", f"backend={image}x", *self.BY_A_FIX).code == 0
        look(it_waits_for_approval)
        assert command("approve", "quick").code == 0
        watched: RolloutProgress = look(it_is_watched)
        return watched

    def test_the_rollout_under_way_is_taken_back_before_the_next_one_starts(
        self, command: Rollout, look: Look, image: str, quick: None
    ) -> None:
        unsaid = command("start", QUICK_PLAN, "--image", f"backend={image}x", "--supersede")
        assert (unsaid.code, unsaid.err) == (
            2,
            "--supersede: say in --reason why the rollout that is open ends\n",
        )
        before = look(it_waits_for_approval).run_id

        arguments = ("--image", f"backend={image}x", "--supersede", "--reason", "a fix for the basket")
        started = command("start", QUICK_PLAN, *arguments)

        assert started.code == 0, started.err
        assert "rollout/quick: taken back, verified and closed" in started.err
        now = look(it_waits_for_approval)
        assert now.run_id != before
        assert now.images == {"backend": f"{image}x"}

    def test_where_all_stages_had_passed_nothing_is_taken_back_and_only_the_watch_ends(
        self, command: Rollout, look: Look, image: str, quick: None, tmp_path: Path
    ) -> None:
        assert self.is_watched(command, look, image, tmp_path).exposed_to == "full"

        started = command("start", QUICK_PLAN, "--image", f"backend={image}y", *self.BY_A_FIX)

        assert started.code == 0, started.err
        assert "all its stages had passed; the watch after them is ended" in started.err
        assert look(it_waits_for_approval).images == {"backend": f"{image}y"}

    def test_a_hold_in_the_watch_is_decided_by_a_person_and_never_by_starting_the_next_one(
        self, command: Rollout, look: Look, stack: LocalStack, image: str, quick: None, tmp_path: Path
    ) -> None:
        watched = self.is_watched(command, look, image, tmp_path, failing="hold")
        behaviour = {"image": f"{image}x", "cascade_failures_per_minute": 6000}
        httpx.put(f"{stack.sandbox.url}/behaviours", json=behaviour).raise_for_status()
        held = look(it_holds)

        refused = command("start", QUICK_PLAN, "--image", f"backend={image}y", *self.BY_A_FIX)

        assert refused.code == 2, refused.err
        assert f"quick has passed all its stages, and its watch holds: {held.why.split(';')[0]}" in refused.err
        assert "Nothing was changed" in refused.err
        assert "`rollout resolve-hold continue quick --reason …`" in refused.err
        still = look(it_holds)
        assert (still.run_id, still.exposed_to, still.rollback) == (watched.run_id, "full", None)

        assert command("resolve-hold", "continue", "quick", "--reason", "the fix is here").code == 0
        candidate, ended = still.candidates["backend"].revision, watched.run_id
        started = command("start", QUICK_PLAN, "--image", f"backend={image}y", *self.BY_A_FIX)
        assert started.code == 0, started.err
        assert "all its stages had passed; the watch after them is ended" in started.err
        following = look(it_waits_for_approval)
        assert following.run_id != ended
        assert following.anchors["backend"].split.shares == {candidate: 100}

    def test_a_watch_that_holds_because_somebody_else_changed_a_flag_names_what_adopts_it(
        self, command: Rollout, look: Look, image: str, quick: None, tmp_path: Path
    ) -> None:
        self.is_watched(command, look, image, tmp_path)
        by_hand = ("update-stage", "--flag", "new_basket", "--stage", "canary", *WHO, "--environment", "test")
        assert command(*by_hand, "--force").code == 0
        look(it_holds)

        refused = command("start", QUICK_PLAN, "--image", f"backend={image}y", *self.BY_A_FIX)

        assert refused.code == 2, refused.err
        assert "`rollout resolve-hold adopt quick --reason …`" in refused.err
        assert look(it_holds).rollback is None


class TestKillSwitch:
    def test_flags_go_off_with_temporal_down_and_live_applications_confirm_it(
        self, run: Run, stack: LocalStack, shop: Shop
    ) -> None:
        without_temporal = {**stack.environment, "TEMPORAL_ADDRESS": NOBODY_LISTENS}
        run(without_temporal, "update-stage", "--flag", "basket", "--stage", "internal", *WHO, *shop.where)
        with Flags(shop.url, shop.environment, "shop", instance="web-1") as application:
            assert application.is_enabled("basket", "u1", "kim@example.com")
            disabled = run(without_temporal, "emergency-disable", *WHO, *shop.where)
            assert not application.is_enabled("basket", "u1", "kim@example.com")

        assert disabled.code == 0, disabled.err
        assert "shop: 2 flags off, latched, read back after" in disabled.out
        assert "1 of 1 application instances confirm it" in disabled.out
        assert "Temporal was not told (it did not answer)" in disabled.out
        again = run(without_temporal, "update-stage", "--flag", "basket", "--stage", "internal", *WHO, *shop.where)
        assert again.code == 2
        assert "the kill switch of shop is set" in again.err

    def test_the_running_rollout_is_told_and_settles_as_rolled_back(
        self, command: Rollout, look: Look, quick: None
    ) -> None:
        disabled = command("emergency-disable", QUICK_PLAN, *WHO)
        assert disabled.code == 0, disabled.err
        assert "quick: its running rollout is told, and takes the traffic back too" in disabled.out
        look(closed)
        shown = command("status", "quick", "--json").json["progress"]
        assert (shown["status"], shown["rollback"]["reason"]) == ("rolled_back", "checkout is down")

    def test_a_store_that_does_not_answer_is_never_called_off(self, run: Run, stack: LocalStack) -> None:
        unreachable = {**stack.environment, "ROLLOUT_REDIS_URL": f"redis://{NOBODY_LISTENS}/0"}
        for command in (
            ("emergency-disable", *WHO),
            ("status", "--emergency-check"),
            ("emergency-rollback", "quick", "--direct", "--reason", "checkout is down"),
        ):
            ran = run(unreachable, *command)
            assert ran.code == 1, command
            assert f"the flag store at redis://{NOBODY_LISTENS}/0 did not answer" in ran.err + ran.out
            assert "SAFE" not in ran.out
            assert "VERIFIED" not in ran.out
        assert run(unreachable, "status", "--emergency-check", "--json").json["verdict"] == "UNKNOWN"

    def test_a_store_that_holds_nothing_is_never_called_safe_and_an_emergency_says_what_is_left_to_do(
        self, command: Rollout
    ) -> None:
        """It may have lost its data, and with them where the traffic was."""
        moon = ("quick", "--environment", "moon")
        check = command("status", "--emergency-check", *moon)
        assert (check.code, check.out.splitlines()[-1]) == (1, "UNKNOWN: what could not be read may be exposed")
        back = command("emergency-rollback", *moon, "--direct", "--reason", "checkout is down")
        assert back.code == 1
        assert "NOT DONE: the flag store holds nothing of quick in moon: no rollout has ever begun" in back.err
        assert "gcloud run services update-traffic SERVICE" in back.err


def must_be_refused_until_somebody_says_why(command: Rollout, look: Look, image: str) -> None:
    """After a rollback without a workflow that could have refused them."""
    start = ("start", QUICK_PLAN, "--image", f"backend={image}")
    assert command("rearm", "quick", "--reason", "understood", "--environment", "test").code == 0
    refused = command(*start)
    assert refused.code == 2, refused.out
    assert f"{image} was rolled back before; start it with `--again --reason …`" in refused.err
    again = command(*start, "--again", "--reason", "not its fault")
    assert again.code == 0, again.err
    look(it_waits_for_approval)


class TestBreakingTheGlass:
    def test_everything_goes_back_without_temporal_and_the_check_reads_it(
        self, run: Run, command: Rollout, stack: LocalStack, quick: None
    ) -> None:
        without_temporal = {**stack.environment, "TEMPORAL_ADDRESS": NOBODY_LISTENS}
        check = ("status", "--emergency-check", "quick", "--environment", "test")
        before = run(without_temporal, *check)
        assert before.code == 1
        assert before.out.endswith("EXPOSED\n")
        assert "exposed    traffic of quick-backend (quick): quick-backend-" in before.out

        arguments = ("emergency-rollback", "quick", "--direct", "--environment", "test", "--reason", "checkout is down")
        back = run(without_temporal, *arguments)

        assert back.code == 0, back.err
        assert "quick: 1 flag off, latched, read back after" in back.out
        assert re.search(r"traffic of quick-backend: quick-backend-\S+ 100 %, read back after", back.out)
        assert "VERIFIED: flags off, traffic at its anchor." in back.out
        after = run(without_temporal, *check)
        assert (after.code, after.out.splitlines()[-1]) == (0, "SAFE")

    def test_with_temporal_down_nobody_has_to_know_of_another_way(
        self, run: Run, stack: LocalStack, quick: None
    ) -> None:
        without_temporal = {**stack.environment, "TEMPORAL_ADDRESS": NOBODY_LISTENS}
        back = run(without_temporal, "emergency-rollback", "quick", "--environment", "test", "--reason", "down")

        assert back.code == 0, back.err
        assert f"no Temporal server answers at {NOBODY_LISTENS}" in back.err
        assert "Doing it from here, on the flag store and Cloud Run themselves:" in back.err
        assert "VERIFIED: flags off, traffic at its anchor." in back.out

    def test_a_rollout_that_completed_goes_back_and_its_images_start_again_only_with_a_reason(
        self, command: Rollout, look: Look, image: str, quick: None
    ) -> None:
        assert command("approve", "quick").code == 0
        look(closed)
        back = command("emergency-rollback", "quick", "--direct", "--reason", "the day after it broke")

        assert back.code == 0, back.err
        assert f"quick: {image} refused from now on" in back.out
        must_be_refused_until_somebody_says_why(command, look, image)

    def test_a_rollout_whose_workflow_somebody_terminated_goes_back_and_may_start_again(
        self, command: Rollout, look: Look, stack: LocalStack, image: str, quick: None
    ) -> None:
        async def terminate() -> None:
            client = await connect_to_temporal(stack.environment)
            await client.get_workflow_handle("rollout/quick").terminate("a mistake")

        asyncio.run(terminate())
        back = command("emergency-rollback", "--environment", "test", "--reason", "checkout is down")

        assert back.code == 0, back.err
        assert "no rollout is open in Temporal" in back.err
        assert "quick: 1 flag off, latched, read back after" in back.out
        assert command("status", "--emergency-check", "quick", "--environment", "test").code == 0

        must_be_refused_until_somebody_says_why(command, look, image)

    def test_what_could_not_be_given_back_is_printed_as_the_gcloud_command_that_does_it(
        self, run: Run, stack: LocalStack, quick: None
    ) -> None:
        no_cloud_run = {**stack.environment, "ROLLOUT_GOOGLE_ENDPOINT": NOBODY_LISTENS}
        check = run(no_cloud_run, "status", "--emergency-check", "quick", "--environment", "test")
        assert check.code == 1
        assert "unreadable traffic of quick-backend (quick)" in check.out
        assert check.out.endswith("UNKNOWN: what could not be read may be exposed\n")
