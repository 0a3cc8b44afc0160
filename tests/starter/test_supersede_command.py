"""A start with `--supersede` ends the rollout of its plan that is under way, or is watched after its last stage."""

from pathlib import Path

import httpx

from local.stack import LocalStack
from rollout.progress import RolloutProgress
from tests.starter.command_line import QUICK_PLAN, Look, Rollout
from tests.starter.quick_rollout import it_holds, it_is_watched, it_waits_for_approval
from tests.starter.shop import WHO


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
