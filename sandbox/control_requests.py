"""Bodies of requests to the control plane: read into what they mean, or refused with field and value."""

from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandbox.http_server import HttpError, HttpRequest

M = TypeVar("M", bound=BaseModel)


def json_object(request: HttpRequest) -> dict[str, Any]:
    body = request.json()
    if not isinstance(body, dict):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"the body must be a JSON object, got {body!r}")
    return body


def read(model: type[M], body: dict[str, Any], *, repeating: bool = True) -> M:
    """The body as `model`. What was given is repeated in a refusal, unless it may be nobody's to see.

    Raises:
        HttpError: 400, naming each field that is wrong.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'body'}: {in_plain_words(each)}"
            + (f", got {each['input']!r}" if repeating else "")
            for each in error.errors()
        )
        raise HttpError(HTTPStatus.BAD_REQUEST, problems) from None


def in_plain_words(error: ErrorDetails) -> str:
    """Before what a rule of ours says, pydantic names the kind of exception that said it."""
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


def not_allowed(request: HttpRequest) -> HttpError:
    return HttpError(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} {request.path} means nothing here; see GET /")
