"""`rollout`, or `python -m starter`: run a command, and end with a code that says how it went."""

import os
import sys
import traceback
from typing import NoReturn

from starter.cli import app
from starter.outcome import CommandEnds, ExitCode


def main() -> NoReturn:
    """Run the command line. Leaves at once when done: Temporal's and gRPC's threads may abort an orderly exit."""
    code = run_command_line()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = ExitCode.FAILED
    os._exit(code)


def run_command_line() -> int:
    """Run the command that `sys.argv` holds; returns its exit code, having said on standard error what went wrong."""
    try:
        app(prog_name="rollout")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else ExitCode.DONE
    except KeyboardInterrupt:
        sys.stderr.write("\nLeft. A rollout that was started goes on; `rollout status` shows it.\n")
        return ExitCode.LEFT
    except BrokenPipeError:
        return ExitCode.FAILED
    except Exception as failure:  # noqa: BLE001  (the outermost place: what it does not know, it shows in full)
        return _explained(failure)
    return ExitCode.DONE


def _explained(failure: Exception) -> ExitCode:
    from config.settings import SettingsError  # noqa: PLC0415  (needed only where something went wrong)
    from config.temporal import TemporalUnreachable  # noqa: PLC0415
    from starter.plan_file import PlanRefused  # noqa: PLC0415

    match failure:
        case CommandEnds():
            code = failure.code
        case PlanRefused() | SettingsError():
            code = ExitCode.REFUSED
        case TemporalUnreachable():
            code = ExitCode.FAILED
        case _:
            traceback.print_exception(failure)
            return ExitCode.FAILED
    sys.stderr.write(f"{failure}\n")
    return code


if __name__ == "__main__":
    main()
