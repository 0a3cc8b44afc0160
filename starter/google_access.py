"""Google for the commands that ask it without a worker: the worker's own clients, loaded only when they are needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.auth.exceptions import GoogleAuthError

from activities.google_clients import GoogleClients, google_clients
from config.settings import Settings
from starter.outcome import failed


@asynccontextmanager
async def google_for(settings: Settings) -> AsyncIterator[GoogleClients]:
    """Google's clients, for one command.

    Raises:
        CommandEnds: there are no credentials to ask with.
    """
    try:
        google = google_clients(settings.google_endpoint)
    except GoogleAuthError as failure:
        raise failed(f"Google Cloud cannot be asked: {failure}") from failure
    try:
        yield google
    finally:
        await google.close()
