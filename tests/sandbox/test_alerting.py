"""Alert policies and notification channels are kept and given back; secrets are not."""

import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.alert_policy_service.transports import AlertPolicyServiceGrpcAsyncIOTransport
from google.cloud.monitoring_v3.services.notification_channel_service.transports import (
    NotificationChannelServiceGrpcAsyncIOTransport,
)

from tests.sandbox.google import PROJECT, Google

NAME = f"projects/{PROJECT}"


@dataclass
class Alerts:
    policies: monitoring_v3.AlertPolicyServiceAsyncClient
    channels: monitoring_v3.NotificationChannelServiceAsyncClient

    async def channel(self, **labels: str) -> monitoring_v3.NotificationChannel:
        channel = monitoring_v3.NotificationChannel(type_="slack", display_name="on-call", labels=labels)
        return await self.channels.create_notification_channel(name=NAME, notification_channel=channel)

    async def policy(self, name: str, *channels: str) -> monitoring_v3.AlertPolicy:
        return await self.policies.create_alert_policy(name=NAME, alert_policy=policy(name, *channels))


def policy(name: str, *channels: str) -> monitoring_v3.AlertPolicy:
    condition = monitoring_v3.AlertPolicy.Condition(
        display_name="errors",
        condition_threshold={"filter": 'metric.type = "a"', "comparison": 1, "duration": timedelta(minutes=1)},
    )
    return monitoring_v3.AlertPolicy(
        display_name=name, combiner="OR", conditions=[condition], notification_channels=channels
    )


@pytest.fixture
async def alerts(google: Google) -> Alerts:
    return Alerts(
        monitoring_v3.AlertPolicyServiceAsyncClient(
            transport=AlertPolicyServiceGrpcAsyncIOTransport(channel=google.channel)
        ),
        monitoring_v3.NotificationChannelServiceAsyncClient(
            transport=NotificationChannelServiceGrpcAsyncIOTransport(channel=google.channel)
        ),
    )


async def test_a_created_policy_has_names_a_record_and_is_enabled(alerts: Alerts) -> None:
    made = await alerts.policy("P0")

    assert re.fullmatch(rf"{NAME}/alertPolicies/\d+", made.name)
    assert re.fullmatch(rf"{made.name}/conditions/\d+", made.conditions[0].name)
    assert made.enabled
    assert made.creation_record.mutated_by
    assert await alerts.policies.get_alert_policy(name=made.name) == made


async def test_policies_are_listed_by_a_filter_and_page_by_page(alerts: Alerts) -> None:
    for name in ("P0", "P1", "P2"):
        await alerts.policy(name)
    request = monitoring_v3.ListAlertPoliciesRequest(name=NAME, page_size=2)
    listed = [each.display_name async for each in await alerts.policies.list_alert_policies(request=request)]
    request = monitoring_v3.ListAlertPoliciesRequest(name=NAME, filter='display_name = "P1"')
    found = [each.display_name async for each in await alerts.policies.list_alert_policies(request=request)]

    assert listed == ["P0", "P1", "P2"]
    assert found == ["P1"]


async def test_an_update_keeps_the_creation_record_and_changes_what_is_masked(alerts: Alerts) -> None:
    made = await alerts.policy("P0")
    changed = await alerts.policies.update_alert_policy(
        request={
            "alert_policy": {"name": made.name, "display_name": "P0 now", "enabled": False},
            "update_mask": {"paths": ["display_name"]},
        }
    )

    assert changed.display_name == "P0 now"
    assert changed.enabled
    assert changed.conditions == made.conditions
    assert changed.creation_record == made.creation_record


async def test_a_deleted_policy_is_gone(alerts: Alerts) -> None:
    made = await alerts.policy("P0")
    await alerts.policies.delete_alert_policy(name=made.name)

    with pytest.raises(exceptions.NotFound):
        await alerts.policies.get_alert_policy(name=made.name)


@pytest.mark.parametrize("conditions", [0, 7])
async def test_a_policy_has_one_to_six_conditions(alerts: Alerts, conditions: int) -> None:
    wrong = policy("P0")
    wrong.conditions = list(wrong.conditions) * conditions
    with pytest.raises(exceptions.InvalidArgument, match="1 to 6 conditions"):
        await alerts.policies.create_alert_policy(name=NAME, alert_policy=wrong)


async def test_a_policy_for_a_channel_that_does_not_exist_is_refused(alerts: Alerts) -> None:
    with pytest.raises(exceptions.NotFound, match="notificationChannels/1"):
        await alerts.policy("P0", f"{NAME}/notificationChannels/1")


async def test_the_secret_of_a_channel_comes_back_masked(alerts: Alerts) -> None:
    made = await alerts.channel(auth_token="xoxb-very-secret", channel_name="#on-call")  # noqa: S106
    (listed,) = [each async for each in await alerts.channels.list_notification_channels(name=NAME)]

    for shown in (made, listed, await alerts.channels.get_notification_channel(name=made.name)):
        assert dict(shown.labels) == {"auth_token": "************cret", "channel_name": "#on-call"}


async def test_a_channel_in_use_is_deleted_only_by_force(alerts: Alerts) -> None:
    channel = await alerts.channel()
    made = await alerts.policy("P0", channel.name)
    with pytest.raises(exceptions.FailedPrecondition, match="still used"):
        await alerts.channels.delete_notification_channel(name=channel.name)
    await alerts.channels.delete_notification_channel(name=channel.name, force=True)

    assert (await alerts.policies.get_alert_policy(name=made.name)).notification_channels == []
