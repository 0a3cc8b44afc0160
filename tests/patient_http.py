"""HTTP as tests ask it: a busy machine answers late, and late is no fault unless a test says so."""

from typing import Any

import httpx

PATIENCE_SECONDS = 60.0


def get(url: str, **options: Any) -> httpx.Response:
    """As `httpx.get`."""
    return httpx.get(url, timeout=PATIENCE_SECONDS, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """As `httpx.AsyncClient`."""
    return httpx.AsyncClient(timeout=PATIENCE_SECONDS, **options)
