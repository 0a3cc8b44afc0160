"""Faults inside the applications, by image: told to every process of the image, to those that start later too.

What faults there are is the application's affair. It takes them as JSON at `PUT /faults`, takes them back at
`DELETE /faults`, says at `POST /faults` whether it would take them, and lets nobody else do so than who knows the token
it finds in `SAMPLE_APP_FAULTS_TOKEN`.
"""

import json
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession

from sandbox.http_server import HttpError
from sandbox.revision_processes import LOOPBACK, RevisionProcess, RevisionProcesses

_log = logging.getLogger(__name__)
_HEADER = "X-Faults-Token"


class ApplicationFaults:
    """`in_force` is what each image was last told."""

    def __init__(self, processes: RevisionProcesses, token: str) -> None:
        self._processes = processes
        self._token = token
        self.in_force: dict[str, dict[str, Any]] = {}

    async def put(self, image: str, faults: dict[str, Any]) -> None:
        """Switch the faults of an image; they replace those it had. An image that does not run yet begins with them.

        Raises:
            HttpError: 400, the application refuses them; 409, no application runs that could; 502, it does not answer
                or knows no faults.
        """
        running = list(self._processes)
        of_image = [each for each in running if each.image == image]
        if not running:
            raise HttpError(HTTPStatus.CONFLICT, "no application runs yet that could say which faults it has")
        if not of_image:
            # Every revision is the same command, so any process knows which faults the next one will have.
            await self._tell(running[0], "POST", faults)
        for each in of_image:
            await self._tell(each, "PUT", faults)
        self.in_force[image] = faults

    async def clear(self) -> None:
        """Take the faults of every image back.

        Raises:
            HttpError: 502, an application does not answer.
        """
        for each in self._processes:
            if each.image in self.in_force:
                await self._tell(each, "DELETE", None)
        self.in_force.clear()

    async def tell_started(self, started: RevisionProcess) -> None:
        """What a process that has just started must know, before it is asked anything."""
        faults = self.in_force.get(started.image)
        if faults is None:
            return
        try:
            await self._tell(started, "PUT", faults)
        except HttpError as error:
            _log.warning("%s runs without its faults: %s", started.revision, error)

    async def _tell(self, process: RevisionProcess, method: str, faults: dict[str, Any] | None) -> None:
        url = f"http://{LOOPBACK}:{process.port}/faults"
        try:
            async with (
                ClientSession() as session,
                session.request(method, url, json=faults, headers={_HEADER: self._token}) as answer,
            ):
                text = await answer.text()
                if answer.status == HTTPStatus.BAD_REQUEST:
                    raise HttpError(HTTPStatus.BAD_REQUEST, _problem_in(text))
                if answer.status != HTTPStatus.OK:
                    raise HttpError(HTTPStatus.BAD_GATEWAY, f"{process.revision}: {answer.status} {text}")
        except ClientError as error:
            raise HttpError(HTTPStatus.BAD_GATEWAY, f"{process.revision}: {error}") from error


def _problem_in(text: str) -> str:
    """What an application found wrong: in the field `error` of its answer, or all of it."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
