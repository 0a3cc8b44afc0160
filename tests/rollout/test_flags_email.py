import pytest

from rollout import flags
from rollout.flags import Audience, comparable_domain, email_domain, evaluate
from tests.rollout.flag_samples import FLAGS, INTERNAL, snapshot_of

DOMAINS = ("netrasystems.ai", "münchen.example", "kiosk.example")
SNAPSHOT = snapshot_of(INTERNAL, domains=DOMAINS)


def is_inside(email: str | None) -> bool:
    plain = evaluate(SNAPSHOT, FLAGS[0], "user-1", email).enabled
    assert flags.compile(SNAPSHOT).is_enabled(FLAGS[0], "user-1", email) == plain
    return plain


@pytest.mark.parametrize(
    "email",
    [
        pytest.param("kim@netrasystems.ai", id="plain"),
        pytest.param("Kim@NetraSystems.AI", id="letter case"),
        pytest.param("kim@netrasystems.ai.", id="trailing dot of a full name"),
        pytest.param("kim+test@netrasystems.ai", id="tag in the local part"),
        pytest.param('"a@b"@netrasystems.ai', id="quoted at sign in the local part"),
        pytest.param("kim@münchen.example", id="IDN as letters"),
        pytest.param("kim@MÜNCHEN.example", id="IDN in capitals"),
        pytest.param("kim@mu\u0308nchen.example", id="IDN with a combining mark"),
        pytest.param("kim@xn--mnchen-3ya.example", id="IDN in its ASCII form"),
    ],
)
def test_people_of_the_domain_are_inside(email: str) -> None:
    assert is_inside(email)


@pytest.mark.parametrize(
    "email",
    [
        pytest.param(None, id="no address"),
        pytest.param("", id="empty"),
        pytest.param("netrasystems.ai", id="no at sign"),
        pytest.param("@netrasystems.ai", id="nobody at the domain"),
        pytest.param("kim@", id="no domain"),
        pytest.param("kim@evil-netrasystems.ai", id="longer name with the same end"),
        pytest.param("kim@evil.netrasystems.ai", id="sub-domain"),
        pytest.param("kim@netrasystems.ai.evil.com", id="the domain as a prefix"),
        pytest.param("kim@netrasystems.ai@evil.com", id="the domain before another at sign"),
        pytest.param("kim@netrasystems.ai..", id="two trailing dots"),
        pytest.param("kim@.netrasystems.ai", id="leading dot"),
        pytest.param("kim@netrasystems.ai ", id="trailing space"),
        pytest.param("kim@netrasystems.ai\n", id="line end"),
        pytest.param("kim@netrasystems.ai\0", id="NUL"),
        pytest.param("kim@netrasystems。ai", id="ideographic full stop"),
        pytest.param("kim@\uff4eetrasystems.ai", id="full-width letter"),
        pytest.param("kim@netr\u0430systems.ai", id="Cyrillic letter"),
        pytest.param("kim@\u212aiosk.example", id="Kelvin sign for k"),
        pytest.param("kim@munchen.example", id="IDN without its mark"),
    ],
)
def test_look_alikes_of_the_domain_stay_outside(email: str | None) -> None:
    assert not is_inside(email)


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("NetraSystems.AI.", "netrasystems.ai"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
    ],
)
def test_the_domain_of_a_plan_is_kept_as_it_compares(written: str, compared: str) -> None:
    assert Audience(domains=(written,)).domains == (compared,)
    assert comparable_domain(compared) == compared


def test_sharp_s_is_not_taken_for_two_letters() -> None:
    assert email_domain("kim@straße.example") != email_domain("kim@strasse.example")
