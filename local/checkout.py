"""Where the checkout is that a local stack runs from."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
