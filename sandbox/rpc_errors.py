"""How the sandbox refuses a call: a status code, a sentence, and the details Google's clients unpack."""

from typing import Any

import grpc

from sandbox.wire_messages import BadRequest, ErrorInfo, Status

_TRAILER = "grpc-status-details-bin"


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


def invalid(field: str, problem: str) -> RpcError:
    """INVALID_ARGUMENT in the style of Cloud Run v2, with the field named once more in `BadRequest`."""
    details = BadRequest(field_violations=[BadRequest.FieldViolation(field=field, description=problem)])
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, f"Violation in {field}: {problem}", details)


def conflict(message: str, *, domain: str) -> RpcError:
    """ABORTED: somebody else's change came first, or is still being carried out."""
    return RpcError(grpc.StatusCode.ABORTED, message, ErrorInfo(reason="CONFLICT", domain=domain))
