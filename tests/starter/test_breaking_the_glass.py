"""What on-call types takes everything back, with Temporal or without; it stays refused until somebody says why not."""

import asyncio
import re

from config.temporal import connect as connect_to_temporal
from local.stack import LocalStack
from tests.starter.command_line import QUICK_PLAN, Look, Rollout, Run
from tests.starter.quick_rollout import closed, it_waits_for_approval
from tests.starter.shop import NOBODY_LISTENS


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
