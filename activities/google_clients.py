"""The Google clients a worker uses, built once, inside its event loop: channels belong to the loop that made them.

Production uses application default credentials over TLS. An endpoint means the sandbox: plaintext, no credentials,
and therefore on this machine only.
"""

from dataclasses import dataclass

import grpc
from google.cloud import monitoring_v3, run_v2, secretmanager_v1
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcAsyncIOTransport
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcAsyncIOTransport,
)

LOOPBACK_HOSTS = ("127.0.0.1", "[::1]", "localhost")
_HIGHEST_PORT = 65_535


def plaintext_channel(endpoint: str) -> grpc.aio.Channel:
    """A channel without encryption to `host:port` on this machine.

    Raises:
        ValueError: `endpoint` is not a port of a loopback address.
    """
    host, _, port = endpoint.rpartition(":")
    if host not in LOOPBACK_HOSTS or not port.isdecimal() or not 0 < int(port) <= _HIGHEST_PORT:
        raise ValueError(
            f"a Google endpoint is {', '.join(f'{host}:PORT' for host in LOOPBACK_HOSTS)}, got {endpoint!r}: it is "
            "spoken to without encryption and without credentials, so it must be on this machine"
        )
    # A proxy that the environment names is for the way out, which this is not.
    return grpc.aio.insecure_channel(endpoint, options=[("grpc.enable_http_proxy", 0)])


@dataclass(frozen=True)
class GoogleClients:
    services: run_v2.ServicesAsyncClient
    revisions: run_v2.RevisionsAsyncClient
    metrics: monitoring_v3.MetricServiceAsyncClient
    secrets: secretmanager_v1.SecretManagerServiceAsyncClient

    async def close(self) -> None:
        # Closing a channel twice is allowed; at the sandbox they share one.
        for client in (self.services, self.revisions, self.metrics, self.secrets):
            await client.transport.close()  # type: ignore[no-untyped-call]  # Google's transports leave it untyped


def google_clients(endpoint: str | None) -> GoogleClients:
    """Clients for Google itself (`endpoint` None: application default credentials, TLS) or for the sandbox.

    Raises:
        ValueError: `endpoint` is not on this machine.
        google.auth.exceptions.DefaultCredentialsError: Google itself is meant, and no credentials are found.
    """
    if endpoint is None:
        return GoogleClients(
            services=run_v2.ServicesAsyncClient(),
            revisions=run_v2.RevisionsAsyncClient(),
            metrics=monitoring_v3.MetricServiceAsyncClient(),
            secrets=secretmanager_v1.SecretManagerServiceAsyncClient(),
        )
    channel = plaintext_channel(endpoint)
    return GoogleClients(
        services=run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel)),
        revisions=run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel)),
        metrics=monitoring_v3.MetricServiceAsyncClient(transport=MetricServiceGrpcAsyncIOTransport(channel=channel)),
        secrets=secretmanager_v1.SecretManagerServiceAsyncClient(
            transport=SecretManagerServiceGrpcAsyncIOTransport(channel=channel)
        ),
    )
