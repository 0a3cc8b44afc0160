"""Cloud Run for the commands that must work without a worker: the worker's own code, loaded only when it is needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.cloud_run import CloudRunActivities
from activities.google_clients import google_clients
from config.settings import Settings


@asynccontextmanager
async def cloud_run(settings: Settings) -> AsyncIterator[CloudRunActivities]:
    """Google's clients as the worker has them, for one command.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: Google itself is meant, and no credentials are found.
    """
    google = google_clients(settings.google_endpoint)
    try:
        yield CloudRunActivities(google.services, google.revisions)
    finally:
        await google.close()
