"""The life of one service, told by one client under one profile, with every answer kept for the tables of facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2

from sandbox.behaviours import Behaviour
from sandbox.cloud_run import EtagProfile, InflightProfile
from sandbox.options import SandboxOptions
from sandbox.server import Sandbox
from tests.sandbox.both_clients import ClientKind, Cloud, cloud
from tests.sandbox.google import (
    CANDIDATE,
    INSTALLED,
    NAME,
    NEW_IMAGE,
    OLD_IMAGE,
    PARENT,
    RECONCILE_SECONDS,
    short,
    template_of,
    to,
)

MARKETING = f"{PARENT}/services/marketing"
BROKEN_IMAGE = "shop/backend:3"
SLOW_SECONDS = 0.3
STORED = "stored"
"""What became of a request that was taken, where the other profile refuses it."""


@dataclass(frozen=True)
class Refused:
    """How a request was turned away, as the client raises it."""

    kind: str
    message: str
    violated: tuple[str, ...]
    reason: str | None

    @classmethod
    def by(cls, error: GoogleAPICallError) -> "Refused":
        violated = tuple(
            violation.field for each in error.details for violation in getattr(each, "field_violations", ())
        )
        return cls(type(error).__name__, error.message or "", violated, error.reason)


@dataclass
class Story:
    """Services by the moment they were read at, operations by what they were for, and what was refused how."""

    client: ClientKind
    etag: EtagProfile
    inflight: InflightProfile
    url: str = ""
    stable: str = ""
    at: dict[str, run_v2.Service] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, run_v2.Revision] = field(default_factory=dict)
    refused: dict[str, Refused | str] = field(default_factory=dict)
    pages: dict[str, list[list[str]]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.client} client, --etag {self.etag} --inflight {self.inflight}"


ToRefuse = tuple[str, str, Callable[[Story], dict[str, Any]]]
"""The fact that a request is refused, the client's method, and the request."""


async def told(
    client: ClientKind, etag: EtagProfile, inflight: InflightProfile, to_refuse: Sequence[ToRefuse]
) -> Story:
    options = SandboxOptions(
        services=(INSTALLED,), reconcile_seconds=RECONCILE_SECONDS, etag=etag, inflight=inflight, seed=7
    )
    async with Sandbox.started(options) as sandbox, cloud(client, sandbox.grpc_target) as google:
        teller = Teller(sandbox, google, Story(client, etag, inflight, url=sandbox.http_url), to_refuse)
        await teller.creation()
        await teller.deployment()
        await teller.broken_traffic()
        await teller.broken_revision()
        await teller.the_newest()
        await teller.mere_validation()
        await teller.two_writers()
        await teller.deletions()
        return teller.story


def service_in(packed: Any) -> run_v2.Service:
    service = run_v2.Service.pb(run_v2.Service())
    assert packed.Unpack(service)
    return run_v2.Service(service)


class Teller:
    def __init__(self, sandbox: Sandbox, google: Cloud, story: Story, to_refuse: Sequence[ToRefuse]) -> None:
        self.sandbox = sandbox
        self.google = google
        self.story = story
        self.to_refuse = to_refuse

    async def creation(self) -> None:
        request = {"parent": PARENT, "service_id": "marketing", "service": {"template": template_of(OLD_IMAGE)}}
        operation = await self.google.call("create_service", **request)
        await self._done("created", operation, MARKETING)

    async def deployment(self) -> None:
        story = self.story
        story.at["before"] = await self.google.service(NAME)
        story.stable = short(story.at["before"].latest_ready_revision)
        self.sandbox.faults.reconcile_seconds = SLOW_SECONDS
        template = template_of(NEW_IMAGE, CANDIDATE)
        rows = [to(story.stable, 100), to(CANDIDATE, 0, "canary")]
        operation = await self._update(["template", "traffic"], template=template, traffic=rows)
        story.at["while deploying"] = await self.google.service(NAME)
        await self._done("deployed", operation)
        self.sandbox.faults.reconcile_seconds = None
        story.revisions["candidate"] = await self.google.call("get_revision", name=f"{NAME}/revisions/{CANDIDATE}")
        rows = [to(story.stable, 90), to(CANDIDATE, 10, "canary")]
        await self._done("shifted", await self._update(["traffic"], traffic=rows))
        await self._done("new template", await self._update(["template"], template=template_of("shop/backend:n")))

    async def broken_traffic(self) -> None:
        story = self.story
        await self._done("lost", await self._update(["traffic"], traffic=[to("backend-gone", 100)]))
        rows = [to(story.stable, 90), to(CANDIDATE, 10, "canary")]
        await self._done("mended", await self._update(["traffic"], traffic=rows))

    async def broken_revision(self) -> None:
        story = self.story
        await self.sandbox.set_behaviour(BROKEN_IMAGE, Behaviour(fails_to_start=True))
        rows = [to(story.stable, 90), to("backend-broken", 10)]
        template = template_of(BROKEN_IMAGE, "backend-broken")
        await self._done("failed", await self._update(["template", "traffic"], template=template, traffic=rows))
        story.revisions["broken"] = await self.google.call("get_revision", name=f"{NAME}/revisions/backend-broken")
        await self._done("poisoned", await self._update(["description"], description="later"))
        await self._done("taken back", await self._update(["traffic"], traffic=[to(story.stable, 100)]))

    async def the_newest(self) -> None:
        await self._done("newest", await self._update(["traffic", "template"], template=template_of(NEW_IMAGE)))

    async def mere_validation(self) -> None:
        story = self.story
        proposed = {"name": NAME, "description": "only an idea"}
        operation = await self.google.call(
            "update_service", service=proposed, update_mask={"paths": ["description"]}, validate_only=True
        )
        story.operations["validated"] = operation
        await self.google.call("delete_service", name=NAME, validate_only=True)
        story.at["validated"] = await self.google.service(NAME)

    async def two_writers(self) -> None:
        stale = (await self.google.service(NAME)).etag
        await self._done("first writer", await self._update(["description"], description="first"))
        await self._tried("stale etag", ["description"], description="stale", etag=stale)
        await self._tried("no etag", ["description"], description="none")
        present = (await self.google.service(NAME)).etag
        await self._tried("present etag", ["description"], description="present", etag=present)
        self.sandbox.faults.reconcile_seconds = SLOW_SECONDS
        first = await self._update(["description"], description="under way")
        self.story.at["under way"] = service_in(first.metadata)
        await self._tried("during another update", ["description"], settle=False, description="overtaking")
        self.sandbox.faults.reconcile_seconds = None
        self.story.operations["overtaken"] = await self.google.finished(first)
        self.story.at["overtaken"] = await self.google.settled(NAME)

    async def deletions(self) -> None:
        story, revision = self.story, f"{NAME}/revisions/{CANDIDATE}"
        for kind, method, request in (
            ("revisions", "list_revisions", {"parent": NAME, "page_size": 2}),
            ("services", "list_services", {"parent": PARENT, "page_size": 1}),
        ):
            pages = await self.google.pages(method, **request)
            story.pages[kind] = [[short(each.name) for each in getattr(page, kind)] for page in pages]
        await self._refusals()
        story.operations["revision deleted"] = await self.google.finished(
            await self.google.call("delete_revision", name=revision)
        )
        await self._tries("deleted revision", "get_revision", {"name": revision})
        operation = await self.google.call("delete_service", name=MARKETING)
        story.at["deleting"] = service_in(operation.metadata)
        story.operations["deleted"] = await self.google.finished(operation)
        story.at["deleted"] = service_in(story.operations["deleted"].response)
        await self._tries("deleted service", "get_service", {"name": MARKETING})
        for kind, shown in (("services after a deletion", False), ("services with deleted ones", True)):
            (page,) = await self.google.pages("list_services", parent=PARENT, show_deleted=shown)
            story.pages[kind] = [[short(each.name) for each in page.services]]

    async def _refusals(self) -> None:
        before = await self.google.service(NAME)
        for fact, method, request in self.to_refuse:
            await self._tries(fact, method, request(self.story))
        self.story.at["before refusals"], self.story.at["after refusals"] = before, await self.google.service(NAME)

    async def _update(self, paths: list[str], **fields: Any) -> Any:
        service = run_v2.Service(name=NAME, **fields)
        return await self.google.call("update_service", service=service, update_mask={"paths": paths})

    async def _done(self, what: str, operation: Any, name: str = NAME) -> None:
        """Keep what was accepted, the operation when done, and the service then."""
        self.story.at[f"{what}: accepted"] = service_in(operation.metadata)
        self.story.operations[what] = await self.google.finished(operation)
        self.story.at[what] = await self.google.settled(name)

    async def _tried(self, what: str, paths: list[str], *, settle: bool = True, **fields: Any) -> None:
        try:
            await self._update(paths, **fields)
        except GoogleAPICallError as error:
            self.story.refused[what] = Refused.by(error)
        else:
            self.story.refused[what] = STORED
        if settle:
            await self.google.settled(NAME)

    async def _tries(self, what: str, method: str, request: Any) -> None:
        try:
            await self.google.call(method, **request)
        except GoogleAPICallError as error:
            self.story.refused[what] = Refused.by(error)
        else:
            self.story.refused[what] = STORED
