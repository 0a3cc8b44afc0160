"""Flags by hand and the kill switch: what on-call types, also while Temporal is down."""

import asyncio
import getpass

from flagstore.client import Flags
from flagstore.connection import connect
from flagstore.store import FlagStore
from local.stack import LocalStack
from starter.stage_change import EXPOSURES
from tests.eventually import eventually
from tests.flagstore.ground import has_read
from tests.starter.command_line import QUICK_PLAN, Look, Ran, Rollout, Run
from tests.starter.quick_rollout import closed
from tests.starter.shop import NOBODY_LISTENS, WHO, Shop


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


class TestKillSwitch:
    def test_flags_go_off_with_temporal_down_and_live_applications_confirm_it(
        self, run: Run, stack: LocalStack, shop: Shop
    ) -> None:
        without_temporal = {**stack.environment, "TEMPORAL_ADDRESS": NOBODY_LISTENS}
        run(without_temporal, "update-stage", "--flag", "basket", "--stage", "internal", *WHO, *shop.where)
        with Flags(shop.url, shop.environment, "shop", instance="web-1") as application:
            assert eventually(lambda: has_read(application))
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
