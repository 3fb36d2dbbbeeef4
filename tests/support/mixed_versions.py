"""A real signed version of `MixedWorkload`."""

from __future__ import annotations

from typing import Any

from shared.loading.golden_answers import GoldenAnswer
from shared.workloads.training import GoldenRequest
from tests.support.mixed_workload import FEATURES, MixedAnswerer
from tests.support.tiny_workload import GOLDEN_NOW
from tests.support.versions import ServingHome

ROWS: list[dict[str, Any]] = [
    {"temperature": 21.5, "hour": 7, "is_open": True, "colour": "red"},
    {"temperature": -3.25, "hour": 23, "is_open": False, "colour": "blue"},
    {"temperature": 15.0, "hour": 0, "is_open": True, "colour": "never seen"},
]


def publish_mixed(home: ServingHome, model: str, number: int = 1) -> str:
    """Make a version and point at it; its name."""
    request = {"instances": ROWS}
    answer = MixedAnswerer(float(number)).answer("predict", request, GOLDEN_NOW)
    golden = GoldenAnswer(GoldenRequest("predict", request, GOLDEN_NOW), answer)
    return home.publish(model, number, features=FEATURES, workload="mixed", golden=golden)
