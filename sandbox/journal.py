"""What outlives the sandbox's process: a file that knows all that was ever answered, whenever the process is killed.

Whoever changes something says so; all that has changed is written as one transaction before the next answer goes out,
so that no caller ever saw what a sandbox started on the same file does not know. Written for a process that is killed,
not for a machine that loses its power.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.history import History

Encode = Callable[[], bytes]

_FORMAT = 1
_WITHOUT_AN_ANSWER_SECONDS = 0.05
"""How long a change waits for an answer to be written with, where nobody asks for anything."""


class UnusableJournal(OSError):  # noqa: N818  (named as what is the case)
    """The file is in use by another sandbox, or is none of this sandbox's."""


class Journal:
    """Values by kind and key. Without a path nothing is kept, and everything said is forgotten at once."""

    def __init__(self, path: Path | None) -> None:
        self._database = None if path is None else _opened(path)
        self._pending: dict[tuple[str, str], Encode | None] = {}
        self._soon: asyncio.TimerHandle | None = None

    def changed(self, kind: str, key: str, encode: Encode) -> None:
        """Write what `encode()` gives, as of the next `commit`."""
        self._note(kind, key, encode)

    def gone(self, kind: str, key: str) -> None:
        self._note(kind, key, None)

    def held(self, kind: str) -> list[tuple[str, bytes]]:
        """Key and value of everything of a kind that was kept, in the order it was first written."""
        if self._database is None:
            return []
        return self._database.execute("SELECT key, value FROM kept WHERE kind = ? ORDER BY rowid", (kind,)).fetchall()

    def commit(self) -> None:
        """Write all that has changed; called before every answer."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._database is None or not self._pending:
            return
        pending, self._pending = self._pending, {}
        with self._database:
            self._database.execute("BEGIN")
            for (kind, key), encode in pending.items():
                if encode is None:
                    self._database.execute("DELETE FROM kept WHERE kind = ? AND key = ?", (kind, key))
                else:
                    self._database.execute(
                        "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                        (kind, key, encode()),
                    )

    def close(self) -> None:
        self.commit()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _note(self, kind: str, key: str, encode: Encode | None) -> None:
        if self._database is None:
            return
        self._pending[kind, key] = encode
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_WITHOUT_AN_ANSWER_SECONDS, self.commit)


def as_json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def history_as_json(history: History[Any], encode: Callable[[Any], Any]) -> bytes:
    return as_json([[instant, encode(value)] for instant, value in history.changes()])


def history_of(text: bytes, decode: Callable[[Any], Any]) -> History[Any]:
    return History.of([(instant, decode(value)) for instant, value in json.loads(text)])


def _opened(path: Path) -> sqlite3.Connection:
    """The file, held for this process alone for as long as it lives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        database = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN IMMEDIATE")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            raise UnusableJournal(f"{path}: was written by another version of the sandbox ({found}, not {_FORMAT})")
        database.execute("CREATE TABLE IF NOT EXISTS kept (kind TEXT, key TEXT, value BLOB, PRIMARY KEY (kind, key))")
        database.execute(f"PRAGMA user_version = {_FORMAT}")
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise UnusableJournal(f"{path}: {error}") from error
    return database
