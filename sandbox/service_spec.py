"""The part of a Cloud Run service that its owner writes: masks, refusals, and what the server fills in."""

import re
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from sandbox.project_numbers import project_number
from sandbox.resource_names import ServiceName
from sandbox.rpc_errors import violation
from sandbox.traffic_rules import checked_traffic
from sandbox.wire_messages import Service, TrafficTarget, copy_of

_WRITTEN_BY_THE_SERVER = frozenset(
    {
        "name",
        "uid",
        "generation",
        "create_time",
        "update_time",
        "delete_time",
        "expire_time",
        "creator",
        "last_modifier",
        "urls",
        "observed_generation",
        "terminal_condition",
        "conditions",
        "latest_ready_revision",
        "latest_created_revision",
        "traffic_statuses",
        "uri",
        "satisfies_pzs",
        "threat_detection_enabled",
        "reconciling",
        "etag",
    }
)
_RESERVED_NAMESPACES = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")

_REVISION_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_TIMEOUT_SECONDS = 300
_CONCURRENCY = 80
_PORT = 8080
_STARTUP_PROBE_SECONDS = 240
_MAX_INSTANCES = 100


def written_fields(service: Any) -> list[str]:
    """The fields a client set in its message, without those that only the server writes."""
    return [field.name for field, _ in service.ListFields() if field.name not in _WRITTEN_BY_THE_SERVER]


def merged(current: Any, update: Any, mask: FieldMask) -> Any:
    """A copy of `current` with the masked fields of `update`; without a mask, with every field that is populated.

    Raises:
        RpcError: INVALID_ARGUMENT, the mask names a field that does not exist.
    """
    result = copy_of(current)
    if list(mask.paths) == ["*"]:
        mask = FieldMask(paths=[field.name for field in Service.DESCRIPTOR.fields])
    elif not mask.paths:
        mask = FieldMask(paths=written_fields(update))
    for path in mask.paths:
        _check_path(path)
    writable = FieldMask(paths=[path for path in mask.paths if path.split(".")[0] not in _WRITTEN_BY_THE_SERVER])
    replace_messages = replace_lists = True
    writable.MergeMessage(update, result, replace_messages, replace_lists)
    return result


def complete(spec: Any, name: ServiceName, rpc: str) -> None:
    """Check what the owner wrote and fill in what the server decides, in place.

    Raises:
        RpcError: INVALID_ARGUMENT, naming the field.
    """
    place = f"{rpc}Request.service"
    if not spec.HasField("template"):
        raise violation(f"{place}.template", "required field not present.")
    _refuse_reserved_keys(spec.annotations, f"{place}.annotations")
    _refuse_reserved_keys(spec.labels, f"{place}.labels")
    _complete_template(spec.template, name, f"{place}.template")
    rows = checked_traffic(name, spec.traffic, f"{place}.traffic")
    del spec.traffic[:]
    spec.traffic.extend(rows or [TrafficTarget(type_=1, percent=100)])


def _check_path(path: str) -> None:
    message = Service.DESCRIPTOR
    for part in path.split("."):
        field = message.fields_by_name.get(part) if message is not None else None
        if field is None:
            raise violation("UpdateServiceRequest.update_mask", f"Service has no field '{path}'.")
        message = field.message_type


def _refuse_reserved_keys(entries: Any, field: str) -> None:
    for key in entries:
        namespace = key.partition("/")[0]
        if any(namespace == reserved or namespace.endswith("." + reserved) for reserved in _RESERVED_NAMESPACES):
            raise violation(field, f"'{key}' is in a namespace that belongs to the system.")


def _complete_template(template: Any, name: ServiceName, field: str) -> None:
    if not template.containers:
        raise violation(f"{field}.containers", "A revision needs at least one container.")
    for index, container in enumerate(template.containers):
        if not container.image:
            raise violation(f"{field}.containers[{index}].image", "A container needs an image.")
        _complete_container(container, ingress=index == 0)
    _check_revision_name(template, name, f"{field}.revision")
    if not template.HasField("timeout"):
        template.timeout.seconds = _TIMEOUT_SECONDS
    template.max_instance_request_concurrency = template.max_instance_request_concurrency or _CONCURRENCY
    template.scaling.max_instance_count = template.scaling.max_instance_count or _MAX_INSTANCES
    template.service_account = (
        template.service_account or f"{project_number(name.project)}-compute@developer.gserviceaccount.com"
    )


def _complete_container(container: Any, *, ingress: bool) -> None:
    if not container.HasField("resources"):
        container.resources.cpu_idle = True
    container.resources.limits.setdefault("cpu", "1000m")
    container.resources.limits.setdefault("memory", "512Mi")
    if not ingress:
        return
    if not container.ports:
        container.ports.add(name="http1", container_port=_PORT)
    if not container.HasField("startup_probe"):
        container.startup_probe.timeout_seconds = _STARTUP_PROBE_SECONDS
        container.startup_probe.period_seconds = _STARTUP_PROBE_SECONDS
        container.startup_probe.failure_threshold = 1
        container.startup_probe.tcp_socket.port = container.ports[0].container_port


def _check_revision_name(template: Any, name: ServiceName, field: str) -> None:
    revision, prefix = template.revision, f"{name.service}-"
    if not revision:
        return
    if not revision.startswith(prefix) or revision == prefix:
        raise violation(
            field,
            "The revision name must be prefixed by the name of the enclosing Service or Configuration with a "
            "trailing -",
        )
    if _REVISION_ID.fullmatch(revision) is None:
        raise violation(
            field,
            f"'{revision}' must not end with a hyphen, and may hold at most 63 lower-case letters, digits and hyphens.",
        )


def same_configuration(left: Any, right: Any) -> bool:
    """Whether two templates describe the same revision, whatever it is called."""
    return bool(_unnamed(left) == _unnamed(right))


def _unnamed(template: Any) -> Any:
    copy = copy_of(template)
    copy.ClearField("revision")
    return copy
