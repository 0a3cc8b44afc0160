"""`google.cloud.secretmanager.v1` on loopback: global secrets, their versions and states."""

import re
from typing import Any

from sandbox.checksums import crc32c
from sandbox.grpc_service import Method
from sandbox.paging import page_of
from sandbox.rpc_errors import plainly_invalid
from sandbox.secrets import DESTROYED, DISABLED, ENABLED, Secrets, refuse_stale
from sandbox.wire_messages import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    AddSecretVersionRequest,
    CreateSecretRequest,
    DeleteSecretRequest,
    DestroySecretVersionRequest,
    DisableSecretVersionRequest,
    Empty,
    EnableSecretVersionRequest,
    GetSecretRequest,
    GetSecretVersionRequest,
    ListSecretsRequest,
    ListSecretsResponse,
    ListSecretVersionsRequest,
    ListSecretVersionsResponse,
    SecretPayload,
    SecretVersionState,
    copy_of,
)

SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
_LARGEST_PAGE = 25_000
_NAME_FILTER = re.compile(r"name:(?P<part>[\w-]+)")
_STATE_FILTER = re.compile(r"state[:=](?P<state>ENABLED|DISABLED|DESTROYED)")


class SecretManager:
    """Secrets and versions as Google's clients ask for them. Nothing expires, rotates or is published."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def methods(self) -> list[Method]:
        return [
            Method("CreateSecret", CreateSecretRequest, self._create, "secretmanager.secrets.create"),
            Method("GetSecret", GetSecretRequest, self._get, "secretmanager.secrets.get"),
            Method("ListSecrets", ListSecretsRequest, self._list, "secretmanager.secrets.list"),
            Method("DeleteSecret", DeleteSecretRequest, self._delete, "secretmanager.secrets.delete"),
            Method("AddSecretVersion", AddSecretVersionRequest, self._add, "secretmanager.versions.add"),
            Method("GetSecretVersion", GetSecretVersionRequest, self._version, "secretmanager.versions.get"),
            Method("ListSecretVersions", ListSecretVersionsRequest, self._versions, "secretmanager.versions.list"),
            Method("AccessSecretVersion", AccessSecretVersionRequest, self._access, "secretmanager.versions.access"),
            Method("EnableSecretVersion", EnableSecretVersionRequest, self._enable, "secretmanager.versions.enable"),
            Method(
                "DisableSecretVersion", DisableSecretVersionRequest, self._disable, "secretmanager.versions.disable"
            ),
            Method(
                "DestroySecretVersion", DestroySecretVersionRequest, self._destroy, "secretmanager.versions.destroy"
            ),
        ]

    async def _create(self, request: Any) -> Any:
        held = await self._secrets.create(request.parent, request.secret_id, request.secret)
        return copy_of(held.message)

    async def _get(self, request: Any) -> Any:
        return copy_of(self._secrets.get(request.name).message)

    async def _list(self, request: Any) -> Any:
        """Newest first; the total only without a filter."""
        found = [held.message for held in self._secrets.below(request.parent)][::-1]
        if request.filter:
            part = _filtered_by(_NAME_FILTER, request.filter, "name:TEXT")["part"]
            found = [message for message in found if part in message.name.rpartition("/")[2]]
        page, token = page_of(found, request, field="ListSecretsRequest.page_token", largest=_LARGEST_PAGE)
        return ListSecretsResponse(secrets=page, next_page_token=token, total_size=0 if request.filter else len(found))

    async def _delete(self, request: Any) -> Any:
        held = self._secrets.get(request.name)
        refuse_stale(held.message, request.etag)
        self._secrets.remove(held)
        return Empty()

    async def _add(self, request: Any) -> Any:
        version = await self._secrets.add_version(self._secrets.get(request.parent), request.payload)
        return copy_of(version.message)

    async def _version(self, request: Any) -> Any:
        return copy_of(self._secrets.version(request.name).message)

    async def _versions(self, request: Any) -> Any:
        """Newest first; the total only without a filter."""
        found = [version.message for version in self._secrets.get(request.parent).versions][::-1]
        if request.filter:
            state = _filtered_by(_STATE_FILTER, request.filter, "state:ENABLED|DISABLED|DESTROYED")["state"]
            found = [message for message in found if message.state == SecretVersionState.Value(state)]
        page, token = page_of(found, request, field="ListSecretVersionsRequest.page_token", largest=_LARGEST_PAGE)
        return ListSecretVersionsResponse(
            versions=page, next_page_token=token, total_size=0 if request.filter else len(found)
        )

    async def _access(self, request: Any) -> Any:
        version = self._secrets.version(request.name)
        version.require(ENABLED)
        payload = SecretPayload(data=version.value, data_crc32c=crc32c(version.value))
        return AccessSecretVersionResponse(name=version.message.name, payload=payload)

    async def _enable(self, request: Any) -> Any:
        return await self._moved(request, ENABLED)

    async def _disable(self, request: Any) -> Any:
        return await self._moved(request, DISABLED)

    async def _destroy(self, request: Any) -> Any:
        return await self._moved(request, DESTROYED)

    async def _moved(self, request: Any, state: int) -> Any:
        version = self._secrets.numbered_version(request.name)
        refuse_stale(version.message, request.etag)
        await self._secrets.set_state(version, state)
        return copy_of(version.message)


def _filtered_by(known: re.Pattern[str], asked: str, form: str) -> re.Match[str]:
    match = known.fullmatch(asked.strip())
    if match is None:
        raise plainly_invalid("filter", f"'{asked}' is not understood here; only {form} is.")
    return match
