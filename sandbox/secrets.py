"""The secrets the sandbox holds, and their versions. Values come out through AccessSecretVersion alone.

Names in answers hold the project's number, as those of Secret Manager do; asked for by id or by number it is the same.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from sandbox.checksums import crc32c
from sandbox.clock import SandboxClock, timestamp
from sandbox.project_numbers import project_number
from sandbox.rpc_errors import RpcError, plainly_invalid
from sandbox.wire_messages import Secret, SecretVersion, SecretVersionState

ENABLED: int = SecretVersionState.ENABLED
DISABLED: int = SecretVersionState.DISABLED
DESTROYED: int = SecretVersionState.DESTROYED
LATEST = "latest"
LARGEST_VALUE_BYTES = 64 * 1024
NAME_PATTERN = r"[A-Za-z0-9_-]{1,255}"

_SECRET_ID = re.compile(NAME_PATTERN)
_PROJECT = re.compile(r"projects/(?P<project>[^/]+)")
_SECRET = re.compile(_PROJECT.pattern + r"/secrets/(?P<secret>[^/]+)")
_VERSION = re.compile(_SECRET.pattern + r"/versions/(?P<version>[^/]+)")


@dataclass(slots=True)
class HeldVersion:
    message: Any
    value: bytes = field(repr=False)

    def require(self, *states: int) -> None:
        """Nothing, where the version is in one of `states`.

        Raises:
            RpcError: FAILED_PRECONDITION, naming the state it is in.
        """
        if self.message.state not in states:
            state = SecretVersionState.Name(self.message.state)
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION, f"Secret Version [{self.message.name}] is in {state} state."
            )


@dataclass(slots=True)
class HeldSecret:
    """A secret and its versions; version `n` is `versions[n - 1]`, none is ever taken out."""

    project: str
    message: Any
    versions: list[HeldVersion] = field(default_factory=list)

    @property
    def short_name(self) -> str:
        return str(self.message.name).rpartition("/")[2]

    def states(self) -> dict[str, str]:
        """The state of each version by its number, without any value."""
        return {
            str(number): SecretVersionState.Name(version.message.state)
            for number, version in enumerate(self.versions, start=1)
        }


class Secrets:
    """All secrets by their full name, oldest first."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._held: dict[str, HeldSecret] = {}
        self._latest_stamp = 0

    def __iter__(self) -> Iterator[HeldSecret]:
        return iter(list(self._held.values()))

    def below(self, parent: str) -> list[HeldSecret]:
        """The secrets of `projects/P`, oldest first."""
        prefix = f"{_canonical_project(parent, 'ListSecretsRequest.parent')}/"
        return [secret for name, secret in self._held.items() if name.startswith(prefix)]

    def get(self, name: str) -> HeldSecret:
        """The secret `projects/P/secrets/S`, or NOT_FOUND."""
        canonical = _canonical_secret(name)
        held = self._held.get(canonical)
        if held is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Secret [{canonical}] not found.")
        return held

    def version(self, name: str) -> HeldVersion:
        """The version `projects/P/secrets/S/versions/N`, where N may be `latest`: the newest, whatever its state."""
        match = _VERSION.fullmatch(name)
        if match is None:
            raise _malformed(name, "projects/*/secrets/*/versions/*")
        canonical = _canonical_secret(name.rpartition("/versions/")[0])
        held = self._held.get(canonical)
        if held is None or not held.versions:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Secret [{canonical}] not found or has no versions.")
        wanted = match["version"]
        if wanted == LATEST:
            return held.versions[-1]
        if not wanted.isdecimal() or not 0 < int(wanted) <= len(held.versions):
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"Secret Version [{canonical}/versions/{wanted}] not found.")
        return held.versions[int(wanted) - 1]

    def numbered_version(self, name: str) -> HeldVersion:
        """As `version`, for what changes it: only reading knows the name `latest`."""
        if name.endswith(f"/versions/{LATEST}"):
            raise plainly_invalid("name", f"'{name}' must name the version by its number.")
        return self.version(name)

    async def create(self, parent: str, secret_id: str, wanted: Any) -> HeldSecret:
        """A new secret without versions.

        Raises:
            RpcError: INVALID_ARGUMENT for its id, ALREADY_EXISTS.
        """
        project = _canonical_project(parent, "CreateSecretRequest.parent")
        if _SECRET_ID.fullmatch(secret_id) is None:
            raise plainly_invalid(
                "secret_id",
                f"'{secret_id}' must hold 1 to 255 letters, digits, hyphens and underscores.",
            )
        name = f"{project}/secrets/{secret_id}"
        if name in self._held:
            raise RpcError(grpc.StatusCode.ALREADY_EXISTS, f"Secret [{name}] already exists.")
        message = Secret()
        message.CopyFrom(wanted)
        message.name = name
        if message.replication.WhichOneof("replication") is None:
            message.replication.automatic.SetInParent()
        message.create_time.CopyFrom(timestamp(await self._clock.now()))
        await self.stamp(message)
        held = HeldSecret(parent.partition("/")[2], message)
        self._held[name] = held
        return held

    async def add_version(self, held: HeldSecret, payload: Any) -> HeldVersion:
        """A new version, enabled at once.

        Raises:
            RpcError: INVALID_ARGUMENT for a payload that is empty, too large or does not fit its checksum.
        """
        _check_payload(payload)
        message = SecretVersion(
            name=f"{held.message.name}/versions/{len(held.versions) + 1}",
            create_time=timestamp(await self._clock.now()),
            state=ENABLED,
            client_specified_payload_checksum=payload.HasField("data_crc32c"),
        )
        message.replication_status.automatic.SetInParent()
        await self.stamp(message)
        version = HeldVersion(message, payload.data)
        held.versions.append(version)
        return version

    async def set_state(self, version: HeldVersion, state: int) -> None:
        """Move a version between enabled and disabled, or destroy it, which loses its value for good.

        Raises:
            RpcError: FAILED_PRECONDITION, it is destroyed already.
        """
        version.require(ENABLED, DISABLED)
        version.message.state = state
        if state == DESTROYED:
            version.value = b""
            version.message.destroy_time.CopyFrom(timestamp(await self._clock.now()))
        await self.stamp(version.message)

    def remove(self, held: HeldSecret) -> None:
        del self._held[held.message.name]

    async def stamp(self, message: Any) -> None:
        """Give a changed resource an etag that no other one has had; also where it was changed to what it was."""
        self._latest_stamp = max(await self._clock.now(), self._latest_stamp + 1)
        message.etag = f'"{self._latest_stamp:x}"'


def refuse_stale(message: Any, etag: str) -> None:
    """Nothing, where `etag` is the resource's or none at all.

    Raises:
        RpcError: FAILED_PRECONDITION, the resource has changed since.
    """
    if etag and etag != message.etag:
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"The etag provided ({etag}) does not match the stored etag ({message.etag}) of [{message.name}].",
        )


def _check_payload(payload: Any) -> None:
    if not payload.data:
        raise plainly_invalid("payload.data", "Secret Payload cannot be empty.")
    if len(payload.data) > LARGEST_VALUE_BYTES:
        raise plainly_invalid(
            "payload.data",
            f"Secret Payload holds {len(payload.data)} bytes, at most {LARGEST_VALUE_BYTES} are allowed.",
        )
    if payload.HasField("data_crc32c") and payload.data_crc32c != crc32c(payload.data):
        raise plainly_invalid("payload.data_crc32c", "The checksum does not match the Secret Payload.")


def _canonical_project(name: str, place: str) -> str:
    match = _PROJECT.fullmatch(name)
    if match is None:
        raise plainly_invalid(place, f"'{name}' is not of the form projects/*.")
    return f"projects/{project_number(match['project'])}"


def _canonical_secret(name: str) -> str:
    match = _SECRET.fullmatch(name)
    if match is None:
        raise _malformed(name, "projects/*/secrets/*")
    return f"projects/{project_number(match['project'])}/secrets/{match['secret']}"


def _malformed(name: str, form: str) -> RpcError:
    return plainly_invalid("name", f"'{name}' is not of the form {form}.")
