"""Secrets over HTTP: added, switched off and on, destroyed, deleted; listed with their states, never with a value."""

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sandbox.control_requests import not_allowed, read
from sandbox.http_server import HttpAnswer, HttpError, HttpRequest
from sandbox.options import InstalledSecret
from sandbox.rpc_errors import RpcError
from sandbox.secrets import HeldSecret, Secrets
from sandbox.wire_messages import Secret, SecretPayload, SecretVersionState


class _WantedState(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: Literal["ENABLED", "DISABLED", "DESTROYED"]


class SecretControl:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def install(self, wanted: InstalledSecret) -> HeldSecret:
        """Add a version with the value to the secret, which is made if it is not there."""
        parent = f"projects/{wanted.project}"
        try:
            held = self._secrets.get(f"{parent}/secrets/{wanted.name}")
        except RpcError:
            held = await self._secrets.create(parent, wanted.name, Secret())
        await self._secrets.add_version(held, SecretPayload(data=wanted.value.get_secret_value().encode()))
        return held

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        try:
            return HttpAnswer(HTTPStatus.OK, await self._answer(request))
        except RpcError as error:
            status = HTTPStatus.NOT_FOUND if error.code.name == "NOT_FOUND" else HTTPStatus.BAD_REQUEST
            raise HttpError(status, error.message) from error

    async def _answer(self, request: HttpRequest) -> Any:
        match (request.method, *request.segments[1:]):
            case ("GET",):
                return [_described(held) for held in self._secrets]
            case ("PUT", project, name):
                body = {**_object(request), "project": project, "name": name}
                return _described(await self.install(read(InstalledSecret, body, repeating=False)))
            case ("DELETE", project, name):
                self._secrets.remove(self._secrets.get(f"projects/{project}/secrets/{name}"))
                return [_described(held) for held in self._secrets]
            case ("PUT", project, name, "versions", number):
                wanted = read(_WantedState, _object(request), repeating=False)
                version = self._secrets.version(f"projects/{project}/secrets/{name}/versions/{number}")
                await self._secrets.set_state(version, SecretVersionState.Value(wanted.state))
                return _described(self._secrets.get(f"projects/{project}/secrets/{name}"))
        raise not_allowed(request)


def _object(request: HttpRequest) -> dict[str, Any]:
    """The body, which may hold a value and is therefore never repeated."""
    body = request.json()
    if not isinstance(body, dict):
        raise HttpError(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return body


def _described(held: HeldSecret) -> dict[str, Any]:
    return {"name": f"projects/{held.project}/secrets/{held.short_name}", "versions": held.states()}
