"""What a plan's checks count on besides its metrics, looked at before a rollout does: secrets, and who is loaded."""

import httpx
from google.api_core.exceptions import GoogleAPIError
from temporalio.exceptions import ApplicationError

from activities.google_clients import GoogleClients
from activities.secrets import CheckSecret, SecretActivities
from loadtest.process import LoadTestUnavailable, must_be_available
from rollout.load_answers import field_of
from rollout.plan import RolloutPlan
from rollout.plan_parts import LoadTestCheck, SecretCheck
from starter.findings import Finding, Level

ANSWERS_WITHIN_SECONDS = 10.0
_SOMEBODY = "load-user-1"


async def needs_of(plan: RolloutPlan, google: GoogleClients) -> list[Finding]:
    """A finding for each secret and each load test that a check of the plan names, each once."""
    secrets = SecretActivities(google.secrets)
    findings: dict[str, Finding] = {}
    async with httpx.AsyncClient(timeout=ANSWERS_WITHIN_SECONDS) as http:
        for check in plan.checks:
            match check:
                case SecretCheck():
                    finding = await _secret(check, secrets)
                case LoadTestCheck():
                    finding = await _load_test(check, plan, google, http)
                case _:
                    continue
            findings.setdefault(finding.what, finding)
    return list(findings.values())


async def _secret(check: SecretCheck, secrets: SecretActivities) -> Finding:
    what = f"secret {check.name} ({check.version})"
    try:
        await secrets.check_secret(CheckSecret(name=check.version_name, title=what))
    except ApplicationError as problem:
        return Finding(level="bad", what=what, text=problem.message.removeprefix(f"{what}: "))
    return Finding(level="ok", what=what, text="enabled")


async def _load_test(
    check: LoadTestCheck, plan: RolloutPlan, google: GoogleClients, http: httpx.AsyncClient
) -> Finding:
    """One request, as a user of the load test makes it. What serves now may lack what the candidate has."""
    what = f"load test of {check.service or check.url}"
    url = check.url
    if check.service is not None:
        name = plan.service_ref(check.service).resource_name
        try:
            url = (await google.services.get_service(name=name)).uri
        except GoogleAPIError as error:
            return Finding(level="bad", what=what, text=f"{name} could not be read: {error}")
    identity = {check.user_header: _SOMEBODY, check.email_header: f"{_SOMEBODY}@{check.email_domains[0]}"}
    try:
        answer = await http.get(f"{url}{check.path}", headers=identity)
    except httpx.HTTPError as error:
        return Finding(level="bad", what=what, text=f"{url} does not answer: {error or type(error).__name__}")
    wrong = _wrong_in(check, answer)
    if wrong is not None:
        now = "" if check.service is None else ", now; the candidate may answer otherwise"
        level: Level = "bad" if check.service is None else "warn"
        return Finding(level=level, what=what, text=f"{url}{check.path} {wrong}{now}")
    try:
        must_be_available()
    except LoadTestUnavailable as missing:
        return Finding(level="warn", what=what, text=f"{url}{check.path} answers; {missing}, for every worker too")
    said = " and says whose data it carries" if check.monitor_isolation else ""
    return Finding(level="ok", what=what, text=f"{url}{check.path} answers{said}")


def _wrong_in(check: LoadTestCheck, answer: httpx.Response) -> str | None:
    if not answer.is_success:
        return f"answers {answer.status_code}"
    if check.monitor_isolation and _owner_in(check, answer) is None:
        return f"does not say whose data it carries, in {_owner_place(check)}"
    return None


def _owner_in(check: LoadTestCheck, answer: httpx.Response) -> str | None:
    if check.owner_header is not None:
        return str(answer.headers[check.owner_header]) if check.owner_header in answer.headers else None
    return field_of(answer.content, check.owner_field)


def _owner_place(check: LoadTestCheck) -> str:
    return f"the header {check.owner_header}" if check.owner_header else f"the field {check.owner_field}"
