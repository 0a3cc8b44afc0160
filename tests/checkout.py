"""Where the checkout is that these tests are part of, and its plans."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PLANS = CHECKOUT / "plans"
