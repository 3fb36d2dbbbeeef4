"""Names of models and entities."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from shared.versions import model_names
from shared.versions.model_names import SAFE, entity_name, full_name, split_name


@given(st.text(max_size=200))
def test_whatever_an_id_holds_its_name_is_safe_and_stays_the_same(raw: str) -> None:
    """Ids come from strangers: no path, no upper case, no name of ours, no endless name."""
    name = entity_name(raw)

    assert SAFE.fullmatch(name)
    assert name != "versions"
    assert entity_name(name) == name


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_ids_never_share_a_name(one: str, other: str) -> None:
    """Two devices that differ in case only must not overwrite each other's models."""
    assert one == other or entity_name(one) != entity_name(other)


def test_a_full_name_comes_apart_again() -> None:
    """The signal, the run log and the routes all use the full name."""
    assert split_name(full_name("solar_power", "dev-1")) == ("solar_power", "dev-1")
    assert split_name(full_name("spare_parts", "")) == ("spare_parts", "")


def test_the_documented_examples_hold() -> None:
    """A docstring is read as a promise."""
    assert doctest.testmod(model_names).failed == 0
