"""Google's RPC services as generic handlers: no generated stubs, the message classes are enough."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from sandbox.faults import FaultTable
from sandbox.rpc_errors import RpcError, permission_denied


@dataclass(frozen=True, slots=True)
class Method:
    """One unary RPC: its short name, the class of its request, what answers it, and what its caller must be allowed."""

    name: str
    request: Any
    answer: Callable[[Any], Awaitable[Any]]
    permission: str


def service_handler(
    service: str, methods: Iterable[Method], faults: FaultTable, before_answer: Callable[[], None]
) -> grpc.GenericRpcHandler:
    """Serve `methods` under `service` (the full proto name). Other methods of it answer UNIMPLEMENTED."""
    methods = list(methods)
    faults.may_hit(method.name for method in methods)
    return grpc.method_handlers_generic_handler(
        service, {method.name: _method_handler(service, method, faults, before_answer) for method in methods}
    )


def _method_handler(
    service: str, method: Method, faults: FaultTable, before_answer: Callable[[], None]
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def serve(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        try:
            answer = await faults.around(
                method.name,
                lambda: method.answer(request),
                lambda: permission_denied(service, method.permission, _resource_in(request)),
            )
            before_answer()
            return answer  # noqa: TRY300  (nothing of an answer may be refused)
        except RpcError as error:
            before_answer()
            await context.abort(error.code, error.message, error.trailers())

    return grpc.unary_unary_rpc_method_handler(
        serve,
        request_deserializer=method.request.FromString,
        response_serializer=_serialize,
    )


def _resource_in(request: Any) -> str:
    """The name of what a request is about: its own name or parent, or the name of the resource it carries."""
    own = getattr(request, "name", "") or getattr(request, "parent", "")
    carried = (getattr(value, "name", "") for _, value in request.ListFields())
    return str(own or next(filter(None, carried), ""))


def _serialize(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized
