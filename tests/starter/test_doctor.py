"""Whoever asks whether all is well hears what is missing, and who owns something and does not run."""

import asyncio

from config.temporal import connect
from flagstore.connection import connect as connect_to_store
from flagstore.ownership import claim
from local.stack import LocalStack
from tests.starter.command_line import Rollout, Run

NOBODY_LISTENS = "127.0.0.1:1"


def found(command: Rollout, what: str) -> dict[str, str]:
    findings = {finding["what"]: finding for finding in command("doctor", "--json").json}
    finding: dict[str, str] = findings.get(what, {})
    return finding


def test_what_is_there_is_told(command: Rollout, quick: None) -> None:
    assert found(command, "Temporal")["level"] == "ok"
    assert found(command, "flag store")["text"] == "answers, and has every write on disk before it is answered"
    assert found(command, "workers of rollout")["text"].startswith("one polls")
    assert found(command, "workers of rollout-emergency")["level"] == "ok"
    assert found(command, "owner quick") == {"level": "ok", "what": "owner quick", "text": "runs"}


def test_a_rollout_that_somebody_terminated_is_found_with_what_to_do(
    command: Rollout, stack: LocalStack, quick: None
) -> None:
    async def terminate() -> None:
        client = await connect(stack.environment)
        await client.get_workflow_handle("rollout/quick").terminate("a mistake")

    asyncio.run(terminate())

    assert "The workflow of quick is terminated: nobody watches" in command("status", "quick").out
    examined = command("doctor")
    assert examined.code == 1
    assert "bad  owner quick: owns flags or services and does not run: nobody watches traffic of quick-backend" in (
        examined.out
    )
    refused = command("doctor", "--release", "quick")
    assert refused.code == 2
    assert "quick may still expose somebody, traffic of quick-backend" in refused.err
    assert "`rollout emergency-rollback quick" in refused.err
    assert command("emergency-rollback", "quick", "--environment", "test", "--reason", "orphaned").code == 0
    assert command("rearm", "quick", "--environment", "test", "--reason", "understood").code == 0
    assert found(command, "owner quick") == {}


def test_a_running_rollout_keeps_what_it_owns(command: Rollout, quick: None) -> None:
    refused = command("doctor", "--release", "quick")
    assert (refused.code, refused.err) == (2, "quick is running: it gives back what it owns when it ends\n")


def test_claims_without_anything_behind_them_are_given_back(command: Rollout, stack: LocalStack) -> None:
    async def leave_behind() -> None:
        redis = connect_to_store(stack.redis.url)
        assert await claim(redis, "rollout/ghost/1", ["service nobody"]) == []
        await redis.aclose()

    asyncio.run(leave_behind())
    assert found(command, "owner ghost")["level"] == "bad"

    released = command("doctor", "--release", "ghost")

    assert (released.code, released.out) == (0, "ghost: given back service nobody.\n")
    assert found(command, "owner ghost") == {}
    nothing = command("doctor", "--release", "ghost")
    assert nothing.code == 2


def test_servers_that_do_not_answer_are_bad_and_do_not_hide_the_rest(run: Run, stack: LocalStack) -> None:
    no_temporal = run({**stack.environment, "TEMPORAL_ADDRESS": NOBODY_LISTENS}, "doctor")
    assert no_temporal.code == 1
    assert f"bad  Temporal: no Temporal server answers at {NOBODY_LISTENS}" in no_temporal.out
    assert "flag store: answers" in no_temporal.out
    no_store = run({**stack.environment, "ROLLOUT_REDIS_URL": f"redis://{NOBODY_LISTENS}/0"}, "doctor")
    assert no_store.code == 1
    assert f"bad  flag store: the flag store at redis://{NOBODY_LISTENS}/0 did not answer" in no_store.out
    assert "ok   Temporal: answers" in no_store.out


def test_in_a_namespace_that_does_not_exist_nothing_is_said_not_to_run_and_nothing_given_back(
    run: Run, command: Rollout, stack: LocalStack, quick: None
) -> None:
    elsewhere = {**stack.environment, "TEMPORAL_NAMESPACE": "nowhere"}
    missing = "Namespace nowhere is not found."

    examined = run(elsewhere, "doctor")
    assert examined.code == 1
    assert f"bad  workers of rollout: Temporal did not say: {missing}" in examined.out
    assert f"warn owner quick: Temporal did not say whether it runs: {missing}" in examined.out
    released = run(elsewhere, "doctor", "--release", "quick")
    assert (released.code, released.err) == (1, f"quick: Temporal did not say whether it runs: {missing}\n")
    shown = run(elsewhere, "status", "quick")
    assert (shown.code, shown.err) == (1, f"Temporal did not say how rollout/quick is: {missing}\n")
    assert found(command, "owner quick")["text"] == "runs"
