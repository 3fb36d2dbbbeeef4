"""Which open models go when there is no room."""

from __future__ import annotations

import pytest

from api_service.reload.eviction import OpenModel, budget_bytes, to_close

A, B, C = OpenModel("a", 40, 1.0), OpenModel("b", 40, 3.0), OpenModel("c", 40, 2.0)


@pytest.mark.parametrize(
    ("models", "budget", "keep", "closed"),
    [
        ([], 0, set(), []),
        ([A, B, C], 120, set(), []),
        ([A, B, C], 119, set(), ["a"]),
        ([A, B, C], 80, {"a"}, ["c"]),
        ([A, B, C], 40, set(), ["a", "c"]),
        ([A, B, C], 1, {"b"}, ["a", "c"]),
        ([A], 1, {"a"}, []),
    ],
    ids=["none", "fits", "one byte", "one is kept", "two", "never the kept", "too large alone"],
)
def test_the_longest_unused_go_first(
    models: list[OpenModel], budget: int, keep: set[str], closed: list[str]
) -> None:
    """What is asked often stays open; what was just opened is never closed for its own sake."""
    assert to_close(models, budget, keep) == closed


def test_without_a_number_the_workers_share_half_of_the_memory() -> None:
    """A default that neither starves a large model nor fills the machine."""
    assert budget_bytes(3, 8) == 3_000_000
    assert 4 * budget_bytes(0, 4) == pytest.approx(budget_bytes(0, 1), rel=1e-6)
    assert budget_bytes(0, 1) > 100_000_000
