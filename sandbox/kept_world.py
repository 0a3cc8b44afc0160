"""What a journal knows of the sandbox as a whole: how often it was started, and where its services answered."""

from yarl import URL

from sandbox.journal import Journal

_WORLD, _STARTS, _ADDRESS = "world", "starts", "address of the services"


class KeptWorld:
    """Counts this start."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        kept = {key: text.decode() for key, text in journal.held(_WORLD)}
        self._address = kept.get(_ADDRESS)
        self._starts_before = int(kept.get(_STARTS, "0"))
        journal.changed(_WORLD, _STARTS, lambda: str(self._starts_before + 1).encode())

    def seed(self, seed: int) -> int | str:
        """What to draw names and numbers from: none that an earlier start of the same world has given out."""
        return f"{seed}, start {self._starts_before + 1}" if self._starts_before else seed

    def port_of_services(self) -> int:
        """Where users of the services were answered before; 0 where that is not known."""
        return 0 if self._address is None else URL(self._address).port or 0

    def moved_to(self, address: str) -> bool:
        """Note where the services answer now; whether they have answered elsewhere before."""
        before, self._address = self._address, address
        self._journal.changed(_WORLD, _ADDRESS, address.encode)
        return before not in (None, address)
