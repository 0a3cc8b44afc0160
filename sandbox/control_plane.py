"""The sandbox's own HTTP surface: services to install, behaviours of images, faults of the APIs, health pages."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.application_faults import ApplicationFaults
from sandbox.behaviours import Behaviour, Behaviours
from sandbox.clock import SandboxClock
from sandbox.control_requests import json_object, not_allowed, read
from sandbox.data_plane import DataPlane
from sandbox.faults import Fault, FaultTable, MetricOutage
from sandbox.http_server import HttpAnswer, HttpError, HttpRequest
from sandbox.options import InstalledService
from sandbox.resource_names import ServiceName
from sandbox.run_services import RunServices, ServiceRecord
from sandbox.secret_control import SecretControl

Install = Callable[[InstalledService], Awaitable[ServiceRecord]]
FlagGroupOf = Callable[[ServiceName], str | None]

_SERVICE_SEGMENTS = 4
_ABOUT = {
    "what": "Google Cloud Run, Cloud Monitoring and Secret Manager on loopback, with synthetic users",
    "control": [
        "GET /services",
        'PUT /services/{project}/{region}/{service} {"image": …, "flag_group": "ENV:GROUP" or null}',
        'PUT /behaviours {"image": …, "treated_error_rate": 0.06, …}',
        "GET /behaviours",
        "DELETE /behaviours",
        'PUT /faults {"method": "UpdateService", "code": "UNAVAILABLE", "count": 2, "after_commit": true}',
        'PUT /faults {"metrics": "outage"}',
        'PUT /faults {"reconcile_seconds": 20}',
        "GET /faults",
        "DELETE /faults",
        "DELETE /faults/{method}",
        "GET /secrets",
        'PUT /secrets/{project}/{secret} {"value": …}, which adds a version',
        'PUT /secrets/{project}/{secret}/versions/{number or latest} {"state": "DISABLED"}',
        "DELETE /secrets/{project}/{secret}",
        'PUT /application-faults {"image": …, "error_rate": 0.1, "to": "treated"}',
        "GET /application-faults",
        "DELETE /application-faults",
    ],
    "services": "GET /run/{service}/health/{page}, GET /run/{tag}---{service}/health/{page}",
}


class _ImageBehaviour(Behaviour):
    image: str = Field(min_length=1)


class _MetricsFault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    metrics: MetricOutage


class _ReconcileFault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reconcile_seconds: float = Field(ge=0.0, allow_inf_nan=False)


class ControlPlane:
    """Routes a request to what it steers, and answers in JSON; a body that is wrong is refused with field and value."""

    def __init__(
        self,
        *,
        services: RunServices,
        behaviours: Behaviours,
        faults: FaultTable,
        data_plane: DataPlane,
        clock: SandboxClock,
        install: Install,
        flag_group_of: FlagGroupOf,
        application_faults: ApplicationFaults | None,
        secrets: SecretControl,
    ) -> None:
        self._services = services
        self._behaviours = behaviours
        self._faults = faults
        self._data_plane = data_plane
        self._clock = clock
        self._install = install
        self._flag_group_of = flag_group_of
        self._application_faults = application_faults
        self._secrets = secrets

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        segments = request.segments
        match (request.method, *segments[:1]):
            case ("GET" | "HEAD",):
                return HttpAnswer(HTTPStatus.OK, _ABOUT)
            case (_, "services"):
                return await self._on_services(request)
            case (_, "behaviours"):
                return await self._on_behaviours(request)
            case (_, "faults"):
                return self._on_faults(request)
            case (_, "secrets"):
                return await self._secrets.handle(request)
            case (_, "application-faults"):
                return await self._on_application_faults(request)
            case ("GET" | "HEAD", "run") if self._application_faults is None:
                return self._on_run(segments[1:])
        raise HttpError(HTTPStatus.NOT_FOUND, f"{request.method} {request.path} is unknown; GET / says what there is")

    async def _on_services(self, request: HttpRequest) -> HttpAnswer:
        segments = request.segments
        if request.method == "GET" and len(segments) == 1:
            return HttpAnswer(HTTPStatus.OK, [self._description(record) for record in self._services])
        if request.method == "PUT" and len(segments) == _SERVICE_SEGMENTS:
            _, project, region, service = segments
            body = json_object(request)
            wanted = read(InstalledService, {**body, "project": project, "region": region, "service": service})
            return HttpAnswer(HTTPStatus.OK, self._description(await self._install(wanted)))
        raise not_allowed(request)

    async def _on_behaviours(self, request: HttpRequest) -> HttpAnswer:
        match request.method:
            case "PUT":
                wanted = read(_ImageBehaviour, json_object(request))
                behaviour = Behaviour(**wanted.model_dump(exclude={"image"}))
                self._behaviours.set(wanted.image, behaviour, await self._clock.now())
            case "DELETE":
                self._behaviours.clear(await self._clock.now())
            case "GET":
                pass
            case _:
                raise not_allowed(request)
        return HttpAnswer(
            HTTPStatus.OK,
            {image: each.model_dump(exclude_defaults=True) for image, each in self._behaviours.in_force().items()},
        )

    def _on_faults(self, request: HttpRequest) -> HttpAnswer:
        match (request.method, *request.segments[1:]):
            case ("PUT",):
                self._put_fault(json_object(request))
            case ("DELETE",):
                self._faults.clear()
            case ("DELETE", method):
                self._faults.remove(method)
            case ("GET",):
                pass
            case _:
                raise not_allowed(request)
        return HttpAnswer(
            HTTPStatus.OK,
            {
                "faults": [fault.model_dump() for fault in self._faults.in_force()],
                "metrics": "outage" if self._faults.metrics_outage else None,
                "reconcile_seconds": self._faults.reconcile_seconds,
            },
        )

    def _put_fault(self, body: dict[str, Any]) -> None:
        if "metrics" in body:
            read(_MetricsFault, body)
            self._faults.metrics_outage = True
        elif "reconcile_seconds" in body:
            self._faults.reconcile_seconds = read(_ReconcileFault, body).reconcile_seconds
        else:
            wanted = read(Fault, body)
            try:
                self._faults.put(wanted)
            except ValueError as error:
                raise HttpError(HTTPStatus.BAD_REQUEST, str(error)) from error

    async def _on_application_faults(self, request: HttpRequest) -> HttpAnswer:
        faults = self._application_faults
        if faults is None:
            raise HttpError(
                HTTPStatus.CONFLICT, "there are no applications here: the traffic is made up, PUT /behaviours steers it"
            )
        match request.method:
            case "PUT":
                body = json_object(request)
                image = body.pop("image", None)
                if not isinstance(image, str) or not image:
                    raise HttpError(HTTPStatus.BAD_REQUEST, f"image: must be the name of an image, got {image!r}")
                await faults.put(image, body)
            case "DELETE":
                await faults.clear()
            case "GET":
                pass
            case _:
                raise not_allowed(request)
        return HttpAnswer(HTTPStatus.OK, faults.in_force)

    def _on_run(self, segments: tuple[str, ...]) -> HttpAnswer:
        match segments:
            case (host, "health", page):
                return self._data_plane.health(host, page)
        raise HttpError(HTTPStatus.NOT_FOUND, "a service answers /run/{service}/health/{page}")

    def _description(self, record: ServiceRecord) -> dict[str, Any]:
        return {
            "name": str(record.name),
            "flag_group": self._flag_group_of(record.name),
            "uri": record.message.uri,
            "reconciling": record.message.reconciling,
            "revisions": {name: revision.image for name, revision in record.revisions.items()},
            "observed": {share.revision: share.percent for share in record.observed_traffic().shares},
        }
