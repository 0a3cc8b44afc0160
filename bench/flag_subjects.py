# ruff: noqa: PLC0415  (each client is imported only where it is the one that is measured)
"""One client of feature flags in a process of its own: `python -m bench.flag_subjects NAME QUESTIONS`.

Every client answers the same question by its public API, without a network: people of one e-mail domain see the flag,
and 10 % of all users. Whatever object the client wants to be asked with is made for each question, as a web request
would. Prints one line of JSON, or nothing and exit code 3 where the client is not installed.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

from flagstore.client import Flags
from flagstore.store import FlagStore, connect
from local.redis_server import RedisServer
from rollout.flags import Audience, Exposure

FLAG, PERCENT, DOMAIN = "request_isolation", 10, "netrasystems.ai"
ENVIRONMENT, GROUP = "bench", "bench"
NOT_INSTALLED = 3
WARM_UP, ROUNDS = 2_000, 3

Question = Callable[[str, str], bool]


def ours() -> Question:
    """The client that an application holds, following a real store."""
    flags = Flags(_store_with_the_flag(), ENVIRONMENT, GROUP).start()
    return lambda user, email: flags.is_enabled(FLAG, user, email)


def ours_through_openfeature() -> Question:
    """The same behind OpenFeature's client: what its abstraction costs."""
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    from flagstore.provider import RolloutProvider

    api.set_provider_and_wait(RolloutProvider(_store_with_the_flag(), ENVIRONMENT, GROUP), domain="ours")
    client = api.get_client(domain="ours")
    return lambda user, email: client.get_boolean_value(FLAG, False, EvaluationContext(user, {"email": email}))


def openfeature_in_memory() -> Question:
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagResolutionDetails
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    # The provider knows no shares of users: a checksum is the cheapest stand-in for one.
    def evaluate(_flag: Any, context: EvaluationContext) -> Any:
        user, email = context.targeting_key or "", str(context.attributes.get("email"))
        return FlagResolutionDetails(value=email.endswith("@" + DOMAIN) or crc32(user.encode()) % 100 < PERCENT)

    flag = InMemoryFlag("off", {"on": True, "off": False}, context_evaluator=evaluate)
    api.set_provider_and_wait(InMemoryProvider({FLAG: flag}), domain="memory")
    client = api.get_client(domain="memory")
    return lambda user, email: client.get_boolean_value(FLAG, False, EvaluationContext(user, {"email": email}))


def flagd_in_process() -> Question:
    from openfeature import api
    from openfeature.contrib.provider.flagd import FlagdProvider  # type: ignore[import-not-found]
    from openfeature.contrib.provider.flagd.config import ResolverType  # type: ignore[import-not-found]
    from openfeature.evaluation_context import EvaluationContext

    shares = {"fractional": [["on", PERCENT], ["off", 100 - PERCENT]]}
    internal = {"ends_with": [{"var": "email"}, "@" + DOMAIN]}
    flag = {
        "state": "ENABLED",
        "defaultVariant": "off",
        "variants": {"on": True, "off": False},
        "targeting": {"if": [internal, "on", shares]},
    }
    source = _as_file({"flags": {FLAG: flag}})
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(source))
    api.set_provider_and_wait(provider, domain="flagd")
    client = api.get_client(domain="flagd")
    return lambda user, email: client.get_boolean_value(FLAG, False, EvaluationContext(user, {"email": email}))


def unleash() -> Question:
    from UnleashClient import UnleashClient  # type: ignore[import-not-found]
    from UnleashClient.cache import FileCache  # type: ignore[import-not-found]

    constraint = {"contextName": "email", "operator": "STR_ENDS_WITH", "values": ["@" + DOMAIN]}
    rollout = {"rollout": str(PERCENT), "stickiness": "userId", "groupId": FLAG}
    strategies = [
        {"name": "default", "parameters": {}, "constraints": [constraint]},
        {"name": "flexibleRollout", "parameters": rollout, "constraints": []},
    ]
    feature = {"name": FLAG, "enabled": True, "type": "release", "variants": [], "strategies": strategies}
    cache = FileCache("bench", directory=tempfile.mkdtemp(prefix="flag-bench-"))
    cache.bootstrap_from_dict({"version": 2, "features": [feature]})
    client = UnleashClient("http://127.0.0.1:9", "bench", cache=cache, disable_metrics=True, disable_registration=True)
    client.initialize_client(fetch_toggles=False)
    return lambda user, email: client.is_enabled(FLAG, {"userId": user, "properties": {"email": email}})


def growthbook() -> Question:
    from growthbook import GrowthBook  # type: ignore[import-not-found]

    domain = DOMAIN.replace(".", r"\.")
    rules = [
        {"condition": {"email": {"$regex": f"@{domain}$"}}, "force": True},
        {"force": True, "coverage": PERCENT / 100, "hashAttribute": "id"},
    ]
    client = GrowthBook(features={FLAG: {"defaultValue": False, "rules": rules}})

    def ask(user: str, email: str) -> bool:
        client.set_attributes({"id": user, "email": email})
        return bool(client.is_on(FLAG))

    return ask


def launchdarkly() -> Question:
    import ldclient  # type: ignore[import-not-found]
    from ldclient.config import Config  # type: ignore[import-not-found]
    from ldclient.context import Context  # type: ignore[import-not-found]
    from ldclient.integrations import Files  # type: ignore[import-not-found]

    clause = {"attribute": "email", "op": "endsWith", "values": ["@" + DOMAIN], "negate": False}
    weights = [{"variation": 0, "weight": PERCENT * 1_000}, {"variation": 1, "weight": (100 - PERCENT) * 1_000}]
    flag = {
        "key": FLAG,
        "version": 1,
        "on": True,
        "salt": "bench",
        "variations": [True, False],
        "offVariation": 1,
        "targets": [],
        "prerequisites": [],
        "rules": [{"id": "internal", "variation": 0, "clauses": [clause]}],
        "fallthrough": {"rollout": {"variations": weights}},
    }
    files = Files.new_data_source([str(_as_file({"flags": {FLAG: flag}}))])
    config = Config("offline", send_events=False, diagnostic_opt_out=True, update_processor_class=files)
    client = ldclient.LDClient(config)
    return lambda user, email: bool(client.variation(FLAG, Context.builder(user).set("email", email).build(), False))


def flagsmith() -> Question:
    from flagsmith import Flagsmith  # type: ignore[import-not-found]

    def state(number: int, *, enabled: bool) -> dict[str, Any]:
        return {
            "django_id": number,
            "enabled": enabled,
            "feature_state_value": None,
            "featurestate_uuid": f"00000000-0000-0000-0000-{number:012}",
            "feature": {"id": 1, "name": FLAG, "type": "STANDARD"},
            "multivariate_feature_state_values": [],
        }

    conditions = [
        {"operator": "REGEX", "property_": "email", "value": ".*@" + DOMAIN.replace(".", r"\.") + "$"},
        {"operator": "PERCENTAGE_SPLIT", "property_": "", "value": str(PERCENT)},
    ]
    anyone_of = {"type": "ALL", "conditions": [], "rules": [{"type": "ANY", "rules": [], "conditions": conditions}]}
    segment = {
        "id": 1,
        "name": "treated",
        "feature_states": [state(2, enabled=True) | {"feature_segment": {"priority": 0}}],
        "rules": [anyone_of],
    }
    organisation = {
        "id": 1,
        "name": "bench",
        "feature_analytics": False,
        "stop_serving_flags": False,
        "persist_trait_data": False,
    }
    project = {
        "id": 1,
        "name": "bench",
        "hide_disabled_flags": False,
        "organisation": organisation,
        "segments": [segment],
    }
    environment = {
        "id": 1,
        "api_key": "bench",
        "name": "bench",
        "updated_at": "2026-01-01T00:00:00+00:00",
        "identity_overrides": [],
        "feature_states": [state(1, enabled=False)],
        "project": project,
    }

    class Offline:
        def get_environment(self) -> dict[str, Any]:
            return environment

    client = Flagsmith(offline_mode=True, offline_handler=Offline())
    return lambda user, email: bool(client.get_identity_flags(user, {"email": email}).is_feature_enabled(FLAG))


SUBJECTS: dict[str, tuple[str, Callable[[], Question]]] = {
    "ours": ("cloud-run-rollout", ours),
    "ours through OpenFeature": ("cloud-run-rollout", ours_through_openfeature),
    "OpenFeature in-memory": ("openfeature-sdk", openfeature_in_memory),
    "flagd in-process": ("openfeature-provider-flagd", flagd_in_process),
    "Unleash": ("UnleashClient", unleash),
    "GrowthBook": ("growthbook", growthbook),
    "LaunchDarkly": ("launchdarkly-server-sdk", launchdarkly),
    "Flagsmith": ("flagsmith", flagsmith),
}


def _store_with_the_flag() -> str:
    """A Redis server of this process, with the flag on for a share of its users; it ends with this process."""
    server = RedisServer.start(Path(tempfile.mkdtemp(prefix="flag-bench-")))

    async def publish() -> None:
        redis = connect(server.url)
        store = FlagStore(redis, ENVIRONMENT, GROUP)
        off = Exposure(exposure="off", bp=0, stage="off")
        canary = Exposure(exposure="percent", bp=PERCENT * 100, stage="canary")
        begun = await store.begin(
            owner="bench",
            by="bench",
            flags=[FLAG],
            audience=Audience(domains=(DOMAIN,), users=()),
            cohort=None,
            ladder=(off, canary),
            candidates={},
        )
        await store.set_exposures({FLAG: canary}, fence=begun.epoch, by="bench", reason="bench")
        await redis.aclose()

    asyncio.run(publish())
    return server.url


def _as_file(document: dict[str, Any]) -> Path:
    path = Path(tempfile.mkdtemp(prefix="flag-bench-")) / "flags.json"
    path.write_text(json.dumps(document))
    return path


def measure(ask: Question, questions: int) -> tuple[float, float]:
    """Evaluations per second, best of a few rounds, and the share of users who see the flag."""
    users = [(f"user-{number:07}", f"user-{number:07}@example.com") for number in range(questions)]
    for user, email in users[:WARM_UP]:
        ask(user, email)
    best, treated = 0.0, 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        treated = sum(ask(user, email) for user, email in users)
        best = max(best, questions / (time.perf_counter() - began))
    return best, treated / questions


def main(name: str, questions: int) -> int:
    package, build = SUBJECTS[name]
    try:
        ask = build()
        installed = version(package)
    except ImportError:
        return NOT_INSTALLED
    if not ask("somebody", f"kim@{DOMAIN}"):
        raise AssertionError(f"{name} does not show the flag to people of {DOMAIN}")
    per_second, share = measure(ask, questions)
    sys.stdout.write(json.dumps({"version": installed, "per_second": per_second, "share": share}) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1], int(sys.argv[2])))  # clients leave threads behind that would keep the process alive
