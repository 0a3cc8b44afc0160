"""Commands that must work, or fail well, with nothing running."""

import asyncio
import fcntl
import json
import ssl
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from local.ports import LOOPBACK
from starter.plan_file import load_plan
from tests.checkout import CHECKOUT
from tests.flagstore.certificates import write_certificates
from tests.starter.command_line import Run, rollout

SMALL_PLAN = Path(__file__).with_name("small_plan.yaml")
QUICK_PLAN = Path(__file__).with_name("quick_plan.yaml")
NOTHING_THERE = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
REDIS_IS_DOWN = "redis://127.0.0.1:1/0"

COMMANDS = (
    ["plan", "validate"],
    ["plan", "show"],
    ["plan", "schema"],
    ["start"],
    ["status"],
    ["list"],
    ["pause"],
    ["resume"],
    ["approve"],
    ["emergency-rollback"],
    ["rearm"],
    ["load-test"],
    ["worker"],
    ["local"],
)
HEAVY = ("google", "grpc", "locust", "pydantic", "redis", "ruamel", "temporalio")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run: Run, command: list[str]) -> None:
    ran = run({}, *command, "--help")
    assert ran.code == 0
    assert f"Usage: rollout {' '.join(command)} " in " ".join(ran.out.split())


def test_the_version_is_that_of_the_package(run: Run) -> None:
    said = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    ran = run({}, "--version")
    assert (ran.code, ran.out, ran.err) == (0, f"{said}\n", "")


def test_the_start_of_the_command_line_loads_no_client_library() -> None:
    program = f"import sys, starter.__main__; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert loaded.stdout == "[]\n"


def test_no_command_may_bring_in_google_or_the_workflow() -> None:
    modules = "control_commands, emergency, listing, rearming, session, start_command, starting, views, watching"
    program = (
        f"import sys; from starter import {modules}; "
        "print([n for n in ('google.cloud', 'workflows', 'activities', 'worker') if n in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert loaded.stdout == "[]\n"


def test_a_valid_plan_is_said_to_be_valid() -> None:
    ran = rollout("plan", "validate", SMALL_PLAN)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{SMALL_PLAN}: small is a valid plan, 3 stages under 2 gates\n"


def test_a_plan_of_one_stage_is_counted_in_the_singular(run: Run, tmp_path: Path) -> None:
    text = SMALL_PLAN.read_text()
    dark = text[: text.index("  - name: staff")].replace("audiences:\n  staff:\n    email_domains: [example.com]\n", "")
    plan = tmp_path / "dark.yaml"
    plan.write_text(dark[: dark.index("  errors:\n")] + dark[dark.index("  health:\n") :])

    assert run({}, "plan", "validate", plan).out.endswith(": small is a valid plan, 1 stage under 1 gate\n")
    assert "over 1 stage, looked at" in run({}, "plan", "show", plan).out


def test_a_wrong_plan_is_refused_on_standard_error_with_code_2() -> None:
    ran = rollout("plan", "validate", "-", stdin=SMALL_PLAN.read_text().replace("guard: 5m", "guard: 5"))
    assert (ran.code, ran.out) == (2, "")
    assert (
        ran.err == "standard input:16: guard: a duration is a number with a unit: 500ms, 90s, 15m, 48h, 7d (given: 5)\n"
    )


def test_a_program_reads_what_is_wrong_with_a_plan_as_json() -> None:
    text = SMALL_PLAN.read_text().replace("    exposure: full", "    exposure: ful")
    ran = rollout("plan", "validate", "-", "--json", stdin=text)
    assert ran.code == 2
    assert ran.json == {
        "file": "standard input",
        "valid": False,
        "problems": [
            {
                "line": 10,
                "field": "audiences",
                "place": ["audiences"],
                "problem": "all flags of a plan share one audience, the stages name ful, staff",
                "given": None,
            },
            {
                "line": 63,
                "field": "stages[everybody].exposure",
                "place": ["stages", 2, "exposure"],
                "problem": "'ful' is neither off, full, a percentage such as 10% nor an audience (staff)",
                "given": "'ful'",
            },
        ],
    }
    assert rollout("plan", "validate", SMALL_PLAN, "--json").json["valid"]


def test_a_plan_is_shown_with_its_stages_and_limits(run: Run) -> None:
    ran = run({}, "plan", "show", CHECKOUT / "plans" / "request-isolation.yaml")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert [
        "deploy-off",
        "off",
        "0",
        "%",
        "→",
        "10",
        "%",
        "→",
        "50",
        "%",
        "→",
        "100",
        "%",
        "2h",
        "11",
        "approval",
    ] in rows
    assert ["canary", "10%", "48h", "11"] in rows
    assert ["isolation_score", "Isolation", "score", "≥", "99.5%", "10m", "rollback", "canary,", "staged"] in rows
    assert "  - The secrets checked here are all that both services read from Secret Manager" in ran.out


def test_a_plan_shown_as_json_is_the_same_plan() -> None:
    shown = rollout("plan", "show", SMALL_PLAN, "--json")
    again = rollout("plan", "validate", "-", stdin=shown.out)
    assert again.code == 0, again.err
    assert shown.json["stages"][1]["exposure"] == "staff"


def test_the_published_schema_accepts_a_valid_plan_and_no_misspelt_one() -> None:
    schema = rollout("plan", "schema").json
    plan = rollout("plan", "show", SMALL_PLAN, "--json").json
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(plan)
    assert not validator.is_valid({**plan, "guards": "5m"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--image shop=…: is missing, and the plan names no image for shop"),
        (["--image", "shop"], "--image 'shop': expected SERVICE=IMAGE without spaces"),
        (["--image", "shop="], "--image 'shop=': expected SERVICE=IMAGE without spaces"),
        (["--image", "shop=a b"], "--image 'shop=a b': expected SERVICE=IMAGE without spaces"),
        (["--image", "shp=a:1"], "--image 'shp=a:1': the plan has no service 'shp'; it has: shop"),
        (["--image", "shop=a:1", "--image", "shop=a:2"], "--image 'shop=a:2': shop is given twice"),
        (["--image", "shop=a:1", "--again"], "--again: say in --reason why"),
    ],
)
def test_a_start_with_wrong_images_is_refused_before_anything_is_asked(
    run: Run, arguments: list[str], said: str
) -> None:
    ran = run(NOTHING_THERE, "start", SMALL_PLAN, *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_commands_that_need_temporal_say_that_it_does_not_answer(run: Run) -> None:
    for command in (["status"], ["list"], ["pause"], ["emergency-rollback", "--reason", "x"]):
        ran = run(NOTHING_THERE, *command)
        assert ran.code == 1
        assert "no Temporal server answers at 127.0.0.1:1 (TEMPORAL_ADDRESS)" in ran.err
        assert "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", [(), ("small", "--direct", "--environment", "test")], ids=["plain", "direct"])
def test_an_emergency_with_everything_down_says_that_nothing_was_done_and_what_is_left_to_do(
    run: Run, arguments: tuple[str, ...]
) -> None:
    ran = run({**NOTHING_THERE, "ROLLOUT_REDIS_URL": REDIS_IS_DOWN}, "emergency-rollback", *arguments, "--reason", "x")
    assert ran.code == 1
    assert f"NOT DONE: the flag store at {REDIS_IS_DOWN} did not answer" in ran.err
    assert "turn flags of some users off by themselves after 10 s, all flags after 4 min" in ran.err
    assert "gcloud run services update-traffic SERVICE" in ran.err
    assert "VERIFIED" not in ran.err + ran.out


@pytest.mark.parametrize("command", [["status"], ["pause"], ["rearm", "quick", "--reason", "x"], ["worker"]])
def test_an_address_of_temporal_that_is_none_is_refused_as_a_wrong_setting(run: Run, command: list[str]) -> None:
    ran = run({"TEMPORAL_ADDRESS": "nonsense", "ROLLOUT_REDIS_URL": REDIS_IS_DOWN}, *command)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("TEMPORAL_ADDRESS (or the address of a profile) 'nonsense': expected host:port")


async def test_a_temporal_that_speaks_tls_and_is_asked_without_is_a_wrong_setting_told_in_a_line(
    run: Run, tmp_path: Path
) -> None:
    certificates, context = write_certificates(tmp_path), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    async with await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        ran = await asyncio.to_thread(run, {"TEMPORAL_ADDRESS": f"{LOOPBACK}:{port}"}, "list")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"{LOOPBACK}:{port} (TEMPORAL_ADDRESS) was asked without TLS, and what answers there")


def test_a_wrong_address_of_temporal_keeps_no_emergency_from_being_tried_on_the_flag_store(run: Run) -> None:
    wrong = {"TEMPORAL_ADDRESS": "nonsense", "ROLLOUT_REDIS_URL": REDIS_IS_DOWN}
    ran = run(wrong, "emergency-rollback", "--reason", "x")
    assert ran.code == 1
    assert "TEMPORAL_ADDRESS (or the address of a profile) 'nonsense': expected host:port" in ran.err
    assert f"NOT DONE: the flag store at {REDIS_IS_DOWN} did not answer" in ran.err


def test_a_misspelt_variable_is_refused(run: Run) -> None:
    ran = run({"ROLLOUT_REDIS_ULR": "redis://127.0.0.1:1"}, "status")
    assert ran.code == 2
    assert ran.err.startswith("ROLLOUT_REDIS_ULR: not a variable of this product; did you mean ROLLOUT_REDIS_URL?")


@pytest.mark.parametrize(
    "arguments", [["emergency-rollback"], ["rearm", "quick"], ["start"], ["nonsense"], ["status", "--nonsense"]]
)
def test_a_command_that_is_written_wrong_is_refused_with_code_2(run: Run, arguments: list[str]) -> None:
    assert run({}, *arguments).code == 2


def test_an_environment_that_cannot_be_one_is_refused_before_anything_is_asked(run: Run) -> None:
    ran = run({**NOTHING_THERE, "ROLLOUT_REDIS_URL": REDIS_IS_DOWN}, "flags", "list", "--environment", "a b")
    assert ran.code == 2
    assert "'a b': expected letters, digits" in " ".join(ran.err.replace("│", " ").split())


def test_a_local_stack_needs_a_directory_of_its_own_that_it_can_write_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "used").mkdir()
    with (tmp_path / "used" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        used = run({}, "local", "--dir", tmp_path / "used")
    file = run({}, "local", "--dir", tmp_path / "file")

    assert (used.code, file.code) == (2, 2)
    assert used.err.startswith(f"--dir {tmp_path / 'used'} is in use by process 4711: stop that one, or choose another")
    assert file.err == f"--dir {tmp_path / 'file'}: File exists; expected is a directory that can be written to\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "--by", ""],
        ["emergency-rollback", "--reason", " "],
        ["rearm", "quick", "--reason", ""],
        ["start", QUICK_PLAN, "--image", "backend=a:1", "--by", ""],
    ],
)
def test_who_and_why_cannot_be_left_empty(run: Run, arguments: list[str]) -> None:
    ran = run(NOTHING_THERE, *arguments)
    assert ran.code == 2
    assert "it is kept in the record and cannot be empty" in " ".join(ran.err.replace("│", " ").split())


def test_an_output_that_nobody_reads_is_no_traceback() -> None:
    command = f"{sys.executable} -m starter plan schema | true"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert ran.stderr == ""


def test_the_plans_used_here_are_valid() -> None:
    assert json.loads(load_plan(QUICK_PLAN).model_dump_json())["name"] == "quick"
