"""Where the environment that runs the tests keeps the servers' binaries."""

import sys
from pathlib import Path

_BIN = Path(sys.executable).parent

TEMPORAL = _BIN / "temporal"
TEMPORAL_TEST_SERVER = _BIN / "temporal-test-server"
