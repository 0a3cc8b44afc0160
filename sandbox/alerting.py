"""`google.monitoring.v3` alert policies and notification channels on loopback: kept and given back, never evaluated.

No policy ever fires here: nothing in the API tells a client whether one has.
"""

from random import Random
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from sandbox.clock import SandboxClock, timestamp
from sandbox.grpc_service import Method
from sandbox.named_resources import NamedResources
from sandbox.rpc_errors import RpcError, invalid
from sandbox.wire_messages import (
    CreateAlertPolicyRequest,
    CreateNotificationChannelRequest,
    DeleteAlertPolicyRequest,
    DeleteNotificationChannelRequest,
    Empty,
    GetAlertPolicyRequest,
    GetNotificationChannelRequest,
    ListAlertPoliciesRequest,
    ListAlertPoliciesResponse,
    ListNotificationChannelsRequest,
    ListNotificationChannelsResponse,
    UpdateAlertPolicyRequest,
    UpdateNotificationChannelRequest,
    copy_of,
)

POLICY_SERVICE = "google.monitoring.v3.AlertPolicyService"
CHANNEL_SERVICE = "google.monitoring.v3.NotificationChannelService"

_MOST_CONDITIONS = 6
_OWNER = "owner@sandbox.invalid"
_SECRET_LABELS = frozenset({"auth_token", "service_key", "password"})
_SHOWN_OF_A_SECRET = 4


class Alerting:
    """Create, Get, List, Update and Delete of policies and of the channels they notify."""

    def __init__(self, clock: SandboxClock, random: Random) -> None:
        self._clock = clock
        self._policies = NamedResources("alertPolicies", random)
        self._conditions = NamedResources("conditions", random)
        self._channels = NamedResources("notificationChannels", random)

    def policy_methods(self) -> list[Method]:
        return [
            Method(
                "CreateAlertPolicy", CreateAlertPolicyRequest, self._create_policy, "monitoring.alertPolicies.create"
            ),
            Method("GetAlertPolicy", GetAlertPolicyRequest, self._get_policy, "monitoring.alertPolicies.get"),
            Method("ListAlertPolicies", ListAlertPoliciesRequest, self._list_policies, "monitoring.alertPolicies.list"),
            Method(
                "UpdateAlertPolicy", UpdateAlertPolicyRequest, self._update_policy, "monitoring.alertPolicies.update"
            ),
            Method(
                "DeleteAlertPolicy", DeleteAlertPolicyRequest, self._delete_policy, "monitoring.alertPolicies.delete"
            ),
        ]

    def channel_methods(self) -> list[Method]:
        return [
            Method(
                "CreateNotificationChannel",
                CreateNotificationChannelRequest,
                self._create_channel,
                "monitoring.notificationChannels.create",
            ),
            Method(
                "GetNotificationChannel",
                GetNotificationChannelRequest,
                self._get_channel,
                "monitoring.notificationChannels.get",
            ),
            Method(
                "ListNotificationChannels",
                ListNotificationChannelsRequest,
                self._list_channels,
                "monitoring.notificationChannels.list",
            ),
            Method(
                "UpdateNotificationChannel",
                UpdateNotificationChannelRequest,
                self._update_channel,
                "monitoring.notificationChannels.update",
            ),
            Method(
                "DeleteNotificationChannel",
                DeleteNotificationChannelRequest,
                self._delete_channel,
                "monitoring.notificationChannels.delete",
            ),
        ]

    async def _create_policy(self, request: Any) -> Any:
        policy = copy_of(request.alert_policy)
        policy.name = self._policies.new_name(request.name)
        self._check_policy(policy)
        await self._record(policy.creation_record)
        policy.mutation_record.CopyFrom(policy.creation_record)
        self._policies.put(policy)
        return policy

    def _check_policy(self, policy: Any) -> None:
        """Hold the rules and give new conditions their names, in place."""
        if not 1 <= len(policy.conditions) <= _MOST_CONDITIONS:
            raise invalid(
                "alert_policy.conditions",
                f"A policy has 1 to {_MOST_CONDITIONS} conditions, not {len(policy.conditions)}.",
            )
        if not policy.combiner:
            raise invalid("alert_policy.combiner", "The combiner is required.")
        for channel in policy.notification_channels:
            self._channels.get(channel)
        for condition in policy.conditions:
            condition.name = condition.name or self._conditions.new_name(policy.name)
        if not policy.HasField("enabled"):
            policy.enabled.value = True

    async def _get_policy(self, request: Any) -> Any:
        return self._policies.get(request.name)

    async def _list_policies(self, request: Any) -> Any:
        page, token, total = self._policies.page(request)
        return ListAlertPoliciesResponse(alert_policies=page, next_page_token=token, total_size=total)

    async def _update_policy(self, request: Any) -> Any:
        current = self._policies.get(request.alert_policy.name)
        policy = _merged(current, request.alert_policy, request.update_mask)
        self._check_policy(policy)
        policy.creation_record.CopyFrom(current.creation_record)
        await self._record(policy.mutation_record)
        self._policies.put(policy)
        return policy

    async def _delete_policy(self, request: Any) -> Any:
        self._policies.remove(request.name)
        return Empty()

    async def _create_channel(self, request: Any) -> Any:
        channel = copy_of(request.notification_channel)
        if not channel.type_:
            raise invalid("notification_channel.type", "The type is required, such as 'email'.")
        channel.name = self._channels.new_name(request.name)
        if not channel.HasField("enabled"):
            channel.enabled.value = True
        await self._record(channel.creation_record)
        self._channels.put(channel)
        return _masked(channel)

    async def _get_channel(self, request: Any) -> Any:
        return _masked(self._channels.get(request.name))

    async def _list_channels(self, request: Any) -> Any:
        page, token, total = self._channels.page(request)
        return ListNotificationChannelsResponse(
            notification_channels=[_masked(channel) for channel in page], next_page_token=token, total_size=total
        )

    async def _update_channel(self, request: Any) -> Any:
        current = self._channels.get(request.notification_channel.name)
        channel = _merged(current, request.notification_channel, request.update_mask)
        await self._record(channel.mutation_records.add())
        self._channels.put(channel)
        return _masked(channel)

    async def _delete_channel(self, request: Any) -> Any:
        users = [policy for policy in self._policies if request.name in policy.notification_channels]
        if users and not request.force:
            names = ", ".join(policy.name for policy in users)
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, f"{request.name} is still used by {names}.")
        self._channels.remove(request.name)
        for policy in users:
            policy.notification_channels.remove(request.name)
        return Empty()

    async def _record(self, record: Any) -> None:
        record.mutate_time.CopyFrom(timestamp(await self._clock.now()))
        record.mutated_by = _OWNER


def _merged(current: Any, update: Any, mask: FieldMask) -> Any:
    """The update in whole, or its masked fields over what is there."""
    if not mask.paths:
        return copy_of(update)
    result = copy_of(current)
    replace_messages = replace_lists = True
    mask.MergeMessage(update, result, replace_messages, replace_lists)
    return result


def _masked(channel: Any) -> Any:
    """The channel as it may be read: of a secret only the end is shown."""
    copy = copy_of(channel)
    for label in _SECRET_LABELS & set(copy.labels):
        secret = copy.labels[label]
        hidden = max(0, len(secret) - _SHOWN_OF_A_SECRET)
        copy.labels[label] = "*" * hidden + secret[hidden:]
    return copy
