import pytest

from config.settings import Settings, SettingsError, is_loopback
from flagstore.connection import SCHEMES


def refusal(**environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    return str(refused.value)


def test_an_empty_environment_is_fine_until_something_is_needed() -> None:
    settings = Settings.from_environment({})
    assert settings.google_endpoint is None
    assert not settings.on_a_sandbox
    with pytest.raises(SettingsError, match="ROLLOUT_REDIS_URL is not set: the address of the flag store"):
        _ = settings.needed_redis_url


def test_an_empty_value_counts_as_not_set() -> None:
    assert Settings.from_environment({"ROLLOUT_REDIS_URL": "", "TEMPORAL_UI_URL": ""}) == Settings.from_environment({})


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9010", "localhost:9010", "[::1]:9010", "127.1.2.3:1"])
def test_a_plaintext_endpoint_on_this_machine_is_allowed(endpoint: str) -> None:
    assert Settings.from_environment({"ROLLOUT_GOOGLE_ENDPOINT": endpoint}).google_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint", ["run.googleapis.com:443", "10.0.0.7:9010", "localhost.example.com:1", "0.0.0.0:9010", "[::2]:1"]
)
def test_a_plaintext_endpoint_anywhere_else_is_refused(endpoint: str) -> None:
    text = refusal(ROLLOUT_GOOGLE_ENDPOINT=endpoint)
    assert text.startswith("ROLLOUT_GOOGLE_ENDPOINT: the endpoint is spoken to without TLS, so it must be on this")


@pytest.mark.parametrize("endpoint", ["127.0.0.1", "http://127.0.0.1:1", "127.0.0.1:x", "127.0.0.1:99999", ":1", "a b"])
def test_an_endpoint_that_is_not_host_and_port_is_refused(endpoint: str) -> None:
    assert refusal(ROLLOUT_GOOGLE_ENDPOINT=endpoint) == (
        "ROLLOUT_GOOGLE_ENDPOINT: expected host:port, for example 127.0.0.1:9010"
    )


@pytest.mark.parametrize(
    "url",
    [
        *("6379", "http://127.0.0.1:6379", "redis://", "s3cret@redis:6379"),
        *("redis://127.0.0.1:99999", "redis://127.0.0.1:s3cret", "redis://[s3cret", "redis://127.0.0.1/s3cret"),
        *("redis://one:1,two:2", "redis+sentinel://127.0.0.1:26379", "redis+cluster://one:1,:2"),
    ],
)
def test_a_wrong_flag_store_address_is_refused_without_repeating_it(url: str) -> None:
    assert refusal(ROLLOUT_REDIS_URL=url) == (
        "ROLLOUT_REDIS_URL: expected an address such as redis://127.0.0.1:6379/0, rediss://…, unix:///path, "
        "redis+sentinel://host:port,host:port/service/0 or redis+cluster://host:port,host:port"
    )


@pytest.mark.parametrize("option", ["s3cret", "s3cret=1", "socket_timeout=s3cret", "db=s3cret", "db=", "protocol=-3"])
def test_an_option_that_no_client_of_the_flag_store_takes_is_refused_without_repeating_it(option: str) -> None:
    said = refusal(ROLLOUT_REDIS_URL=f"redis://127.0.0.1:6379/0?{option}")

    assert said.startswith("ROLLOUT_REDIS_URL: expected options after ? to be among client_name, db=NUMBER, password, ")
    assert "s3cret" not in said


def test_every_kind_of_address_that_the_flag_store_speaks_is_accepted() -> None:
    for scheme in SCHEMES:
        url = f"{scheme}://127.0.0.1:6379/mymaster/0" if scheme.endswith("sentinel") else f"{scheme}://127.0.0.1:6379"
        assert Settings.from_environment({"ROLLOUT_REDIS_URL": url}).needed_redis_url == url
    for url in ("redis://u:p%40@[::1]:6379/2?protocol=3", "unix:///run/redis.sock?db=0", "redis+cluster://u:p@a:1,b/"):
        assert Settings.from_environment({"ROLLOUT_REDIS_URL": url}).needed_redis_url == url


def test_a_password_is_neither_in_the_representation_nor_in_the_address_for_people() -> None:
    settings = Settings.from_environment(
        {"ROLLOUT_REDIS_URL": "rediss://app:s3cret@flags.example.com:6380/2?ssl_keyfile=s3cret"}
    )
    assert settings.needed_redis_url.startswith("rediss://app:s3cret@")
    assert settings.redis_address == "rediss://flags.example.com:6380/2"
    assert "s3cret" not in repr(settings)


def test_a_misspelt_variable_is_refused_with_the_name_that_was_meant() -> None:
    text = refusal(ROLLOUT_GOOGLE_ENDPONT="127.0.0.1:1")
    assert text.startswith(
        "ROLLOUT_GOOGLE_ENDPONT: not a variable of this product; did you mean ROLLOUT_GOOGLE_ENDPOINT? Known are: "
    )


def test_every_wrong_variable_is_named_at_once() -> None:
    text = refusal(ROLLOUT_REDIS_URL="x", ROLLOUT_SANDBOX_URL="x", ROLLOUT_UNHEARD_OF="x", TEMPORAL_UI_URL="ui")
    named = {line.partition(":")[0] for line in text.splitlines()}
    assert named == {"ROLLOUT_REDIS_URL", "ROLLOUT_SANDBOX_URL", "ROLLOUT_UNHEARD_OF", "TEMPORAL_UI_URL"}


def test_the_process_ids_of_a_local_stack_are_no_settings_and_no_errors() -> None:
    Settings.from_environment({"ROLLOUT_WORKER_PID": "1", "ROLLOUT_REDIS_PID": "2", "PATH": "/bin"})


def test_only_names_of_this_machine_are_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("example.com")
    assert not is_loopback("")
