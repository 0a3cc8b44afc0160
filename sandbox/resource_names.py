"""Names of Cloud Run resources: `projects/P/locations/L/services/S` and what hangs below it."""

import re
from dataclasses import dataclass

from sandbox.rpc_errors import violation

_LOCATION = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)")
_SERVICE = re.compile(_LOCATION.pattern + r"/services/(?P<service>[^/]+)")
_REVISION = re.compile(_SERVICE.pattern + r"/revisions/(?P<revision>[^/]+)")
_SERVICE_ID = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ServiceName:
    project: str
    region: str
    service: str

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    def __str__(self) -> str:
        return f"{self.parent}/services/{self.service}"

    def revision(self, short_name: str) -> str:
        return f"{self}/revisions/{short_name}"


def parse_location(name: str, *, field: str) -> str:
    if _LOCATION.fullmatch(name) is None:
        raise violation(field, f"'{name}' is not of the form projects/*/locations/*.")
    return name


def parse_service(name: str, *, field: str) -> ServiceName:
    match = _SERVICE.fullmatch(name)
    if match is None:
        raise violation(field, f"'{name}' is not of the form projects/*/locations/*/services/*.")
    return ServiceName(**match.groupdict())


def parse_revision(name: str, *, field: str) -> tuple[ServiceName, str]:
    match = _REVISION.fullmatch(name)
    if match is None:
        raise violation(field, f"'{name}' is not of the form projects/*/locations/*/services/*/revisions/*.")
    parts = match.groupdict()
    return ServiceName(parts["project"], parts["region"], parts["service"]), parts["revision"]


def new_service(parent: str, service_id: str) -> ServiceName:
    """The name of a service to be created: fewer than 50 characters, a letter first."""
    match = _LOCATION.fullmatch(parent)
    if match is None:
        raise violation("CreateServiceRequest.parent", f"'{parent}' is not of the form projects/*/locations/*.")
    if _SERVICE_ID.fullmatch(service_id) is None:
        raise violation(
            "CreateServiceRequest.service_id",
            f"'{service_id}' must begin with a letter, must not end with a hyphen, and may hold at most 49 "
            "lower-case letters, digits and hyphens.",
        )
    return ServiceName(match["project"], match["region"], service_id)
