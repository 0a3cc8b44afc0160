"""Resources that are only kept: made under a name of the server's, read, listed by simple filters, deleted."""

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import grpc

from sandbox.paging import page_of
from sandbox.rpc_errors import RpcError, invalid

_COMPARISON = re.compile(r'\s*(?P<field>[a-z_]+)(?:\.(?P<key>[\w-]+))?\s*=\s*"(?P<value>[^"]*)"\s*')
_LARGEST_PAGE = 1000
_ID_DIGITS = 10**19


class NamedResources:
    """The resources of one collection, such as `alertPolicies`, in the order they were made."""

    def __init__(self, collection: str, random: Random) -> None:
        self._collection = collection
        self._random = random
        self._held: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held.values())

    def new_name(self, parent: str) -> str:
        """A name below `parent` (`projects/P`, or a resource of another collection)."""
        return f"{parent}/{self._collection}/{self._random.randrange(_ID_DIGITS // 10, _ID_DIGITS)}"

    def put(self, resource: Any) -> None:
        self._held[resource.name] = resource

    def get(self, name: str) -> Any:
        """The resource, or NOT_FOUND."""
        resource = self._held.get(name)
        if resource is None:
            raise RpcError(grpc.StatusCode.NOT_FOUND, f"{name} was not found.")
        return resource

    def remove(self, name: str) -> None:
        self.get(name)
        del self._held[name]

    def page(self, request: Any) -> tuple[Sequence[Any], str, int]:
        """One page below `request.name`, the token of the next one, and how many there are in all."""
        wanted = _predicate(request.filter)
        found = [each for name, each in self._held.items() if name.startswith(f"{request.name}/") and wanted(each)]
        page, token = page_of(found, request, field="page_token", largest=_LARGEST_PAGE)
        return page, token, len(found)


def _predicate(text: str) -> Callable[[Any], bool]:
    """What `display_name = "x" AND user_labels.team = "y"` asks; other forms are refused."""
    comparisons = [_COMPARISON.fullmatch(part) for part in text.split(" AND ")] if text.strip() else []
    if not all(comparisons):
        raise invalid("filter", f'Only field = "value" joined by AND is understood: {text}')
    return lambda resource: all(_holds(resource, match) for match in comparisons if match)


def _holds(resource: Any, match: re.Match[str]) -> bool:
    field = "type_" if match["field"] == "type" else match["field"]
    if field not in resource.DESCRIPTOR.fields_by_name:
        raise invalid("filter", f"There is no field '{match['field']}'.")
    value = getattr(resource, field)
    if match["key"] is not None:
        value = value.get(match["key"])
    return bool(value == match["value"])
