"""When Python must not look for garbage, and where there is none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Nothing is collected meanwhile; whether it is afterwards stays as it was."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def keep_for_good() -> None:
    """Everything that is there now stays as long as the process does, and is not looked through again.

    Modules and clients alone are half a million objects: to look through them is a twentieth of what a worker does.
    """
    gc.freeze()
