"""Commands as a release manager and an on-call person give them, against real servers, a sandbox and a worker.

The rollouts share one plan, so each test leaves its rollout closed and the plan's flags armed.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis

from local.stack import LocalStack
from rollout.progress import RolloutStatus
from starter import flags_read_back
from tests.starter.command_line import QUICK_PLAN, Look, Rollout, rollout
from tests.starter.quick_rollout import closed, is_open, it_waits_for_approval, once

SNAPSHOT = "{rf:test:quick}:snap"


@pytest.fixture(autouse=True)
def closed_and_armed(command: Rollout, look: Look) -> Iterator[None]:
    """Whatever a test did, the next one finds no open rollout and no latch."""
    yield
    if look(is_open):
        command("emergency-rollback", "quick", "--reason", "the test is over")
    look(closed)
    command("rearm", "quick", "--reason", "the next test", "--environment", "test")


def flags(stack: LocalStack) -> dict[str, Any]:
    with redis.Redis.from_url(stack.redis.url) as client:
        snapshot: dict[str, Any] = json.loads(client.get(SNAPSHOT) or b"{}")
        return snapshot


def test_a_rollout_is_started_approved_followed_and_listed(
    command: Rollout, look: Look, stack: LocalStack, image: str
) -> None:
    started = command("start", QUICK_PLAN, "--image", f"backend={image}", "--by", "kim", "--reason", "the new basket")
    assert started.code == 0, started.err
    assert "rollout/quick started by kim: entering stage 1 of 3, dark" in started.out
    assert f"In the Temporal UI: {stack.temporal.ui_url}/namespaces/default/workflows/rollout%2Fquick/" in started.out
    again = command("start", QUICK_PLAN, "--image", f"backend={image}")
    assert again.code == 2
    assert "a rollout of quick is open already: kim started it at" in again.err
    look(it_waits_for_approval)
    shown = command("status")
    assert shown.code == 0
    assert shown.out.startswith("quick: waiting for approval of canary, exposed to nobody\n")
    (listed,) = command("list", "--json").json
    assert (listed["name"], listed["status"], listed["stage"], listed["exposed_to"], listed["started_by"]) == (
        "quick",
        "awaiting_approval",
        "canary",
        "off",
        "kim",
    )
    approved = command("approve", "--by", "robin", "--reason", "looks good")
    assert approved.code == 0, approved.err
    assert approved.out.splitlines()[0] == "rollout/quick: canary approved by robin."
    followed = command("status", "--watch")
    assert followed.code == 0, followed.out + followed.err
    assert "quick: completed, exposed to everybody" in followed.out.splitlines()
    assert flags(stack)["flags"]["new_basket"]["bp"] == 10_000
    # All is done and said then; the workflow itself closes once its last notices are delivered.
    look(closed)
    record = command("status", "quick", "--json").json
    assert record["execution"] == "completed"
    assert [stage["state"] for stage in record["progress"]["stages"]] == ["passed", "passed", "passed"]
    assert any(event["by"] == "robin" for event in record["progress"]["timeline"])
    too_late = command("emergency-rollback", "quick", "--reason", "checkout is down")
    assert too_late.code == 2
    assert "`rollout emergency-rollback quick --direct --reason …` takes its flags off" in too_late.err
    none_open = command("status")
    assert (none_open.code, none_open.out) == (2, "")
    assert none_open.err.startswith("no rollout is open.")
    assert command("list").out == "No rollout is open.\n"
    assert "quick" in command("list", "--all").out


def test_a_pause_is_taken_once_and_commands_are_refused_where_they_make_no_sense(
    command: Rollout, look: Look, image: str
) -> None:
    command("start", QUICK_PLAN, "--image", f"backend={image}")
    look(it_waits_for_approval)
    not_paused = command("resume")
    assert (not_paused.code, not_paused.err) == (2, "quick: cannot resume: it is not paused. Nothing was changed\n")
    as_scripts_do = ("pause", "--reason", "lunch", "--by", "kim", "--request-id", "from-a-script", "--json")
    paused, sent_again = command(*as_scripts_do), command(*as_scripts_do)
    assert (paused.code, sent_again.code) == (0, 0)
    assert paused.json == sent_again.json
    assert (paused.json["workflow_id"], paused.json["happened"]) == ("rollout/quick", "paused")
    record = look(once(lambda found: found.paused))
    assert [event.text for event in record.timeline if event.kind == "command"] == ["paused by kim: lunch"]
    twice = command("pause", "rollout/quick")
    assert (twice.code, twice.err) == (2, "quick: cannot pause: it is paused already. Nothing was changed\n")
    no_soak = command("promote", "quick")
    assert (no_soak.code, no_soak.err) == (
        2,
        "quick: cannot promote: it is paused; resume it first. Nothing was changed\n",
    )
    nothing_seen = command("step-back", "quick")
    assert nothing_seen.code == 2
    assert "nobody sees the features yet" in nothing_seen.err
    extended = command("extend", "1s", "quick", "--reason", "to be sure")
    assert extended.code == 0, extended.err
    assert "extended by 1 s by" in extended.out
    resumed = command("resume", "quick")
    assert resumed.code == 0
    assert resumed.out.startswith("rollout/quick: resumed by ")
    nobody = command("pause", "nobody")
    assert (nobody.code, nobody.err) == (
        2,
        "there is no rollout 'nobody'; `rollout list --all` shows those there are\n",
    )


def test_an_emergency_is_carried_out_verified_and_final(
    command: Rollout, look: Look, stack: LocalStack, image: str
) -> None:
    command("start", QUICK_PLAN, "--image", f"backend={image}")
    look(it_waits_for_approval)
    command("approve")
    look(once(lambda found: found.flags["new_basket"].bp == 1000))
    taken = command("emergency-rollback", "--reason", "the basket is empty", "--by", "kim")
    assert taken.code == 0, taken.out + taken.err
    lines = taken.out.splitlines()
    assert any(line.endswith("flags: read back from the store, latched, every one off") for line in lines)
    assert any(line.startswith("VERIFIED after ") for line in lines)
    assert any("traffic of backend: quick-backend-" in line and line.endswith("100 %") for line in lines)
    assert flags(stack)["latch"]
    record = look(once(lambda found: found.status is RolloutStatus.ROLLED_BACK))
    assert record.rollback is not None
    assert (record.rollback.by, record.rollback.reason) == ("kim", "the basket is empty")
    look(closed)
    repeated = command("emergency-rollback", "quick", "--reason", "to be sure", "--json")
    assert repeated.code == 0
    assert repeated.json["verified"]
    latched = command("start", QUICK_PLAN, "--image", f"backend={image}")
    assert latched.code == 2
    assert "the kill switch of quick is set" in latched.err
    assert command("rearm", QUICK_PLAN, "--reason", "understood", "--by", "kim").code == 0
    nothing_left = command("rearm", "quick", "--reason", "understood")
    assert nothing_left.code == 2
    assert "is not set, there is nothing to rearm" in nothing_left.err
    refused = command("start", QUICK_PLAN, "--image", f"backend={image}")
    assert refused.code == 2
    assert "was rolled back before; start it with `--again --reason …`" in refused.err
    assert command("start", QUICK_PLAN, "--image", f"backend={image}", "--again", "--reason", "was not it").code == 0


def test_a_rearm_waits_for_an_open_rollout_and_what_is_armed_again_is_not_called_safe(
    command: Rollout, look: Look, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("start", QUICK_PLAN, "--image", f"backend={image}")
    too_early = command("rearm", "quick", "--reason", "impatience")
    assert too_early.code == 2
    assert "its rollout is still open and would set the latch again. Nothing was changed" in too_early.err
    command("emergency-rollback", "--reason", "a mistake")
    look(closed)
    assert command("rearm", "quick", "--reason", "patience").code == 0
    monkeypatch.setattr(flags_read_back, "FLAGS_MUST_SHOW_WITHIN", timedelta(seconds=0.3))
    not_latched = command("emergency-rollback", "quick", "--reason", "once more")
    assert not_latched.code == 1
    assert "NOT VERIFIED: the rollout says that it is rolled back, but the flag store" in not_latched.err


def test_following_a_candidate_that_fails_a_gate_ends_with_code_1(stack: LocalStack, image: str) -> None:
    behaviour = {"image": image, "cascade_failures_per_minute": 6000}
    httpx.put(f"{stack.sandbox.url}/behaviours", json=behaviour).raise_for_status()
    ran = rollout("start", QUICK_PLAN, "--image", f"backend={image}", "--watch", environment=stack.environment)
    assert ran.code == 1, ran.out + ran.err
    assert "Cascades: " in ran.out
    assert ran.out.splitlines()[-1].startswith("quick: rolled back from dark, exposed to nobody, verified in ")


def test_a_candidate_that_cannot_be_deployed_ends_with_code_1_and_says_why(
    command: Rollout, stack: LocalStack, image: str
) -> None:
    behaviour = {"image": image, "fails_to_start": True}
    httpx.put(f"{stack.sandbox.url}/behaviours", json=behaviour).raise_for_status()
    ran = command("start", QUICK_PLAN, "--image", f"backend={image}", "--watch")
    assert ran.code == 1, ran.out + ran.err
    assert "dark failed: " in ran.out
    assert "quick: rolled back from dark" in ran.out


def test_a_plan_in_seconds_is_refused_without_a_sandbox(stack: LocalStack, image: str) -> None:
    real = {name: value for name, value in stack.environment.items() if name != "ROLLOUT_GOOGLE_ENDPOINT"}
    ran = rollout("start", QUICK_PLAN, "--image", f"backend={image}", environment=real)
    assert ran.code == 2
    assert ran.err.startswith("check_interval: 500 ms is shorter than the 1 min that Cloud Monitoring can answer for.")


def test_an_emergency_without_the_flag_stores_address_is_carried_out_but_not_called_verified(
    command: Rollout, stack: LocalStack, image: str
) -> None:
    command("start", QUICK_PLAN, "--image", f"backend={image}")
    blind = {name: value for name, value in stack.environment.items() if name != "ROLLOUT_REDIS_URL"}
    ran = rollout("emergency-rollback", "--reason", "x", environment=blind)
    assert ran.code == 1
    assert "NOT VERIFIED from here: ROLLOUT_REDIS_URL is not set" in ran.err
    assert flags(stack)["latch"]
