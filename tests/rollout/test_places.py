"""Who has a place in memory keeps it while he uses it, and nobody's value is another's."""

from dataclasses import dataclass

from rollout.places import UNUSED_SECONDS, Places


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def filled(clock: Clock, *names: str) -> Places[str, str]:
    places: Places[str, str] = Places(2, clock)
    for name in names:
        places.put(name, name.upper())
    return places


def test_more_users_than_places_who_come_in_turn_leave_those_who_were_first_theirs() -> None:
    clock, found = Clock(), []
    places: Places[str, str] = Places(2, clock)
    for _ in range(30):
        for name in "abc":
            clock.now += 20.0
            if (kept := places.get(name)) is None:
                places.put(name, name.upper())
            found.append(kept)
    assert found[3:] == ["A", "B", None] * 29


def test_a_place_that_was_not_used_for_long_is_free_for_others() -> None:
    clock = Clock()
    places = filled(clock, "gone", "stays")
    clock.now += UNUSED_SECONDS / 2
    places.get("stays")
    clock.now += UNUSED_SECONDS / 2
    places.put("new", "NEW")
    assert [places.get(name) for name in ("gone", "stays", "new")] == [None, "STAYS", "NEW"]


def test_a_place_that_was_given_back_is_free_at_once() -> None:
    places = filled(Clock(), "a", "b")
    places.discard("a")
    places.put("c", "C")
    assert [places.get(name) for name in "abc"] == [None, "B", "C"]


def test_a_value_may_take_the_place_of_the_one_before_it_in_a_full_room() -> None:
    places = filled(Clock(), "a", "b")
    places.put("a", "new")
    assert [places.get(name) for name in "ab"] == ["new", "B"]


def test_large_values_take_more_of_the_room_and_one_that_is_larger_than_it_takes_nobody_s_place() -> None:
    clock = Clock()
    places: Places[str, str] = Places(10, clock)
    places.put("large", "L", size=8)
    places.put("second", "S", size=3)
    assert (places.get("large"), places.get("second")) == ("L", None)
    clock.now += UNUSED_SECONDS
    places.put("too large", "T", size=11)
    assert (places.get("too large"), places.get("large")) == (None, "L")
