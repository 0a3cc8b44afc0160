"""Counts in words, so that of one thing nothing is said in the plural."""


def counted(count: int, one: str, several: str = "") -> str:
    """`1 interval`, `1,200 intervals`; `several` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def points_allowed(share: float) -> str:
    """A difference of shares that a plan allows: `+1 point`, `+0.5 points`."""
    points = f"{share * 100:.3g}"
    return f"+{points} {'point' if points == '1' else 'points'}"
