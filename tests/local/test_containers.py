"""The container files say what the product says. There is no engine to run them here: they are held by their form."""

import re
import subprocess
import sys
import tomllib
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from config.settings import Settings
from local.sandbox_secrets import secrets_of
from local.sandbox_server import services_of
from local.stack import PLANS
from rollout.messages import SEARCH_ATTRIBUTES
from sandbox.options import InstalledSecret, InstalledService
from starter.plan_file import load_plan
from tests.binaries import TEMPORAL
from tests.checkout import CHECKOUT


class Strict(BaseModel):
    """The part of the Compose specification that is used here; anything else is a mistake or needs a new line."""

    model_config = ConfigDict(extra="forbid")


Seconds = Annotated[str, Field(pattern=r"^\d+s$")]
Volume = Annotated[str, Field(pattern=r"^[a-z]+:/[a-z/]+$")]
Port = Annotated[str, Field(pattern=r"^127\.0\.0\.1:\d+:\d+$", description="published on loopback only")]


class Healthcheck(Strict):
    test: list[str] = Field(min_length=2)
    interval: Seconds
    timeout: Seconds
    retries: int = Field(ge=1)


class Dependency(Strict):
    condition: Literal["service_healthy"]


class Service(Strict):
    image: str = Field(pattern=r"^[a-z/]+(:[a-z0-9.-]+)?$")
    build: Literal["."] | None = None
    init: bool = False
    entrypoint: list[str] = []
    command: list[str] = []
    environment: dict[str, str] = {}
    network_mode: str | None = Field(default=None, pattern="^service:")
    ports: list[Port] = []
    volumes: list[Volume] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: Literal["unless-stopped"] | None = None
    stop_grace_period: Seconds | None = None


class Compose(Strict):
    name: str
    services: dict[str, Service]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def compose() -> Compose:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load((CHECKOUT / "docker-compose.yml").read_text())
    return Compose.model_validate({name: part for name, part in document.items() if not name.startswith("x-")})


def test_what_the_services_refer_to_is_there(compose: Compose) -> None:
    for name, service in compose.services.items():
        for needed in service.depends_on:
            assert compose.services[needed].healthcheck is not None, f"{name} waits for {needed}"
        if service.network_mode is not None:
            assert service.network_mode.partition(":")[2] in compose.services
        assert {volume.partition(":")[0] for volume in service.volumes} <= set(compose.volumes)


def test_all_parts_share_one_loopback(compose: Compose) -> None:
    shared = {name: service.network_mode for name, service in compose.services.items() if name != "temporal"}
    assert set(shared.values()) == {"service:temporal"}


def test_foreign_images_are_pinned_and_our_own_is_built(compose: Compose) -> None:
    for service in compose.services.values():
        assert (service.build is not None) == (":" not in service.image)


def test_the_worker_is_given_settings_that_are_accepted(compose: Compose) -> None:
    settings = Settings.from_environment(compose.services["worker"].environment)
    assert settings.on_a_sandbox
    assert settings.needed_redis_url


def test_the_server_knows_the_search_attributes(compose: Compose) -> None:
    registered = [part for part in compose.services["temporal"].command if part.startswith("--search-attribute=")]
    assert registered == [f"--search-attribute={name}=Keyword" for name in SEARCH_ATTRIBUTES]


def test_the_server_knows_its_options(compose: Compose) -> None:
    temporal = compose.services["temporal"]
    helped = subprocess.run([TEMPORAL, *temporal.entrypoint[1:], "--help"], capture_output=True, text=True, check=True)
    for part in temporal.command:
        assert f"{part.partition('=')[0]} " in helped.stdout


def test_the_sandbox_knows_its_options_and_has_the_services_and_secrets_of_the_plans(compose: Compose) -> None:
    command, *options = compose.services["sandbox"].command
    assert command == "sandbox"
    helped = subprocess.run([sys.executable, "-m", "sandbox", "--help"], capture_output=True, text=True, check=True)
    for part in options:
        assert f"{part.partition('=')[0]} " in helped.stdout
    services = [part.removeprefix("--service=") for part in options if part.startswith("--service=")]
    assert services == services_of([load_plan(path) for path in PLANS])
    assert all(InstalledService.parse(service) for service in services)
    given = [InstalledSecret.parse(part.removeprefix("--secret=")) for part in options if part.startswith("--secret=")]
    needed = secrets_of([load_plan(path) for path in PLANS])
    assert [(secret.project, secret.name) for secret in given] == [(secret.project, secret.name) for secret in needed]


def dockerfile() -> list[str]:
    text = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_the_lock_and_runs_as_nobody_special() -> None:
    lines = dockerfile()
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"FROM python:3\.\d+-slim-\w+", base)
    assert any("--require-hashes --requirement requirements.lock" in line for line in lines)
    assert lines.index("USER rollout") < lines.index('ENTRYPOINT ["rollout"]')
    assert not any(line.startswith("USER ") and line != "USER rollout" for line in lines)


def test_the_image_holds_every_package_and_no_test_or_secret() -> None:
    allowed = {
        line.removeprefix("!") for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) <= allowed
    assert all((CHECKOUT / path).exists() for path in allowed)
    assert (CHECKOUT / ".dockerignore").read_text().startswith("*\n")
    assert "tests" not in allowed
