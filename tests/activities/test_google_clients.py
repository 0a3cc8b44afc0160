import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import run_v2

from activities.google_clients import google_clients, plaintext_channel


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8080", "localhost:1", "[::1]:65535"])
async def test_plaintext_is_spoken_to_this_machine(endpoint: str) -> None:
    await plaintext_channel(endpoint).close(None)


@pytest.mark.parametrize(
    "endpoint",
    [
        "run.googleapis.com:443",
        "10.0.0.1:8080",
        "0.0.0.0:8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        "127.0.0.1.example.com:80",
        "dns:///127.0.0.1:80",
        "::1:80",
        "localhost@example.com:80",
        "",
    ],
)
def test_plaintext_to_anywhere_else_is_refused_by_the_value_it_was_given(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must be on this machine") as refused:
        plaintext_channel(endpoint)
    assert repr(endpoint) in str(refused.value)
    with pytest.raises(ValueError, match="must be on this machine"):
        google_clients(endpoint)


async def test_clients_of_an_endpoint_speak_to_it_and_close_together() -> None:
    clients = google_clients("127.0.0.1:1")
    request = run_v2.GetServiceRequest(name="projects/p/locations/l/services/s")
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        await clients.services.get_service(request=request, retry=None, timeout=5)
    await clients.close()


def test_without_an_endpoint_credentials_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "no-such-file.json")
    with pytest.raises(DefaultCredentialsError, match="no-such-file"):
        google_clients(None)
