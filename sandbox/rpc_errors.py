"""How the sandbox refuses a call: a status code, a sentence, and the details Google's clients unpack."""

from typing import Any

import grpc

from sandbox.wire_messages import BadRequest, ErrorInfo, Status

_TRAILER = "grpc-status-details-bin"
_DENIAL = "Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
_DENIALS = {
    "google.cloud.secretmanager.v1.SecretManagerService": (
        "Permission '{permission}' denied for resource '{resource}' (or it may not exist)."
    ),
}


class RpcError(Exception):
    """Ends a call with `code` and `message`; `details` are messages of the `google.rpc` error model."""

    def __init__(self, code: grpc.StatusCode, message: str, *details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def status(self) -> Any:
        """The error as `google.rpc.Status`, for the trailer of a call or the result of an operation."""
        status = Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            status.details.add().Pack(detail)
        return status

    def trailers(self) -> tuple[tuple[str, bytes], ...]:
        return ((_TRAILER, self.status().SerializeToString()),)


def violation(field: str, problem: str) -> RpcError:
    """INVALID_ARGUMENT as Cloud Run v2 words it. The field in its `BadRequest` begins with the same two words."""
    return _invalid_argument(f"Violation in {field}: {problem}", f"Violation in {field}", problem)


def invalid(field: str, problem: str) -> RpcError:
    """INVALID_ARGUMENT whose message names the field, with the field alone in `BadRequest`."""
    return _invalid_argument(f"Violation in {field}: {problem}", field, problem)


def plainly_invalid(field: str, problem: str) -> RpcError:
    """INVALID_ARGUMENT whose message is the problem alone, as Secret Manager words it."""
    return _invalid_argument(problem, field, problem)


def invalid_value(field: str, value: str, problem: str) -> str:
    """How Cloud Monitoring names a field that is wrong."""
    return f'Field {field} had an invalid value of "{value}": {problem}'


def refused_value(field: str, value: object, problem: str) -> RpcError:
    """INVALID_ARGUMENT as Cloud Monitoring words it; it carries no details."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, invalid_value(field, str(value), problem))


def _invalid_argument(message: str, field: str, description: str) -> RpcError:
    violated = BadRequest.FieldViolation(field=field, description=description)
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message, BadRequest(field_violations=[violated]))


def permission_denied(service: str, permission: str, resource: str) -> RpcError:
    """PERMISSION_DENIED for a caller who lacks `permission` on `resource`; `service` is the full name of the API."""
    return RpcError(
        grpc.StatusCode.PERMISSION_DENIED,
        _DENIALS.get(service, _DENIAL).format(permission=permission, resource=resource),
        ErrorInfo(
            reason="IAM_PERMISSION_DENIED",
            domain="iam.googleapis.com",
            metadata={"permission": permission, "resource": resource},
        ),
    )


def conflict(message: str, *, domain: str) -> RpcError:
    """ABORTED: somebody else's change came first, or is still being carried out."""
    return RpcError(grpc.StatusCode.ABORTED, message, ErrorInfo(reason="CONFLICT", domain=domain))
