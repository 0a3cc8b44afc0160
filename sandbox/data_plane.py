"""What the services answer to their users: for now their health pages, at the address the control plane gives out.

`/run/<service>/health/<page>` is answered by a revision that gets traffic, drawn by the observed split;
`/run/<tag>---<service>/health/<page>` by the revision behind the observed tag.
"""

from http import HTTPStatus
from random import Random

from sandbox.behaviours import Behaviours
from sandbox.http_server import HttpAnswer, HttpError
from sandbox.run_services import RevisionRecord, RunServices, ServiceRecord

PAGES = ("isolation", "websocket", "factory", "overall")
_TAG_SEPARATOR = "---"


class DataPlane:
    """Answers the health pages of every service by its observed traffic and the behaviour of its images."""

    def __init__(self, services: RunServices, behaviours: Behaviours, random: Random) -> None:
        self._services = services
        self._behaviours = behaviours
        self._random = random

    def health(self, host: str, page: str) -> HttpAnswer:
        """The health page of `host`, which is `<service>` or `<tag>---<service>`.

        Answers 200 or 503 with status, score (0 to 1: requests without a violation of isolation) and revision.

        Raises:
            HttpError: 404, no such service, tag or page; 409, the name exists in several projects or regions; 503, no
                revision gets traffic.
        """
        if page not in PAGES:
            raise HttpError(HTTPStatus.NOT_FOUND, f"no health page {page!r}; there are {', '.join(PAGES)}")
        _, revision = self.target(host)
        behaviour = self._behaviours.now(revision.image)
        if behaviour.unhealthy:
            return HttpAnswer(
                HTTPStatus.SERVICE_UNAVAILABLE,
                {"status": "unhealthy", "score": 0.0, "revision": revision.short_name},
            )
        score = 1.0 - behaviour.isolation_violation_rate if page in ("isolation", "overall") else 1.0
        status = "ok" if score == 1.0 else "degraded"
        return HttpAnswer(HTTPStatus.OK, {"status": status, "score": score, "revision": revision.short_name})

    def target(self, host: str) -> tuple[ServiceRecord, RevisionRecord]:
        """The service of a host, and the revision that serves its next request.

        Raises:
            HttpError: as for `health`.
        """
        tag, separator, service = host.rpartition(_TAG_SEPARATOR)
        record = self._find(service)
        return record, self._tagged(record, tag) if separator else self._drawn(record)

    def is_tag(self, host: str) -> bool:
        return _TAG_SEPARATOR in host

    def _find(self, service: str) -> ServiceRecord:
        found = [record for record in self._services if record.name.service == service]
        if not found:
            raise HttpError(HTTPStatus.NOT_FOUND, f"no service {service!r}")
        if len(found) > 1:
            places = ", ".join(str(record.name) for record in found)
            raise HttpError(HTTPStatus.CONFLICT, f"{service!r} is not the name of one service: {places}")
        return found[0]

    def _tagged(self, record: ServiceRecord, tag: str) -> RevisionRecord:
        revision = record.tagged(tag)
        if revision is None:
            raise HttpError(HTTPStatus.NOT_FOUND, f"service {record.name.service!r} has no tag {tag!r} in use")
        return revision

    def _drawn(self, record: ServiceRecord) -> RevisionRecord:
        shares = record.observed_traffic().shares
        if not shares:
            raise HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"no revision of {record.name.service!r} gets traffic as yet"
            )
        chosen = self._random.choices(shares, weights=[share.percent for share in shares])[0]
        return record.revisions[chosen.revision]
