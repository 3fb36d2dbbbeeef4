"""What every workload does by the contract alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.mean_workload import MeanWorkload


class Chokes(MeanWorkload):
    """On a record that it did not foresee."""

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return str(fields["status"]) if fields["day"] is None else None


def test_a_record_on_which_a_workload_chokes_is_not_used() -> None:
    """One odd document among thousands must not stop its stream for ever."""
    workload = Chokes({})

    assert workload.why_unusable("rows", {"day": 1}) is None
    assert workload.why_unusable("rows", {"day": None, "status": "open"}) == "open"
    reason = workload.why_unusable("rows", {"day": None})
    assert reason == "the workload could not read it (KeyError)"
