"""A version's name and its life."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from shared.errors import TransitionRefused
from shared.versions.model_version import NEXT_STATES, ModelVersion, VersionState, transition

LIFE = [
    VersionState.CANDIDATE,
    VersionState.VALIDATED,
    VersionState.PROMOTED,
    VersionState.LOADING,
    VersionState.WARMING,
    VersionState.SERVING,
    VersionState.DRAINING,
    VersionState.RETIRED,
]


def test_a_name_survives_being_written_and_read() -> None:
    """Directories are found again by their name."""
    version = ModelVersion(7, datetime(2026, 11, 21, 8, 30, tzinfo=UTC))

    assert str(version) == "v000007-20261121T083000Z"
    assert ModelVersion.parse(str(version)) == version


def test_the_seven_digit_version_sorts_after_the_six_digit_one() -> None:
    """A device that retrains every minute reaches a million in two years."""
    at = datetime(2026, 1, 1, tzinfo=UTC)

    assert ModelVersion(999_999, at) < ModelVersion(1_000_000, at)
    assert ModelVersion.parse("v1000000-20260101T000000Z").number == 1_000_000


@pytest.mark.parametrize(
    "text", ["v7", "000007-20261121T083000Z", "v000007-20261321T083000Z", "../v000007", ""]
)
def test_a_name_of_another_form_is_refused(text: str) -> None:
    """Whatever else lies in the directory is not a version."""
    with pytest.raises(ValueError, match=r"v000007|time data"):
        ModelVersion.parse(text)


def test_a_version_can_live_its_whole_life() -> None:
    """Every step of the documented line is allowed."""
    for current, wanted in itertools.pairwise(LIFE):
        assert transition(current, wanted, version="v", generation=1) is wanted


def test_every_other_transition_is_refused_and_names_what_is_allowed() -> None:
    """A state that goes backwards would hide a defect of ours; the message must help to find it."""
    for current in VersionState:
        for wanted in set(VersionState) - NEXT_STATES[current]:
            with pytest.raises(TransitionRefused) as refused:
                transition(current, wanted, version="v000007", generation=3)

            sentence = str(refused.value)
            assert f"{wanted} does not follow {current}" in sentence
            assert all(state in sentence for state in NEXT_STATES[current])


def test_no_state_leads_back() -> None:
    """Forward only: a version that returns does so under a new generation."""
    for start in VersionState:
        seen, frontier = set(), set(NEXT_STATES[start])
        while frontier:
            seen |= frontier
            frontier = {after for state in frontier for after in NEXT_STATES[state]} - seen
        assert start not in seen
