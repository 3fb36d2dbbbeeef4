"""What a workload's defaults, the general ones and the user's settings make together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.settings.per_model import GateSettings, ModelSettings, TriggerSettings
from shared.workloads import REGISTRY, workload_class
from shared.workloads.defaults import gate_of, triggers_of
from shared.workloads.holdout import days_held_out

PAGE = Path(__file__).parents[3] / "docs" / "promotion.md"


def test_a_setting_of_the_user_counts_before_the_workloads_and_that_before_the_general() -> None:
    """Also where it is set to the general default: it was said on purpose."""
    given = {"workload": "solar_power", "source": "s", "gate": {"min_days": 14}}

    model = ModelSettings.model_validate({**given, "triggers": {"every": "3h"}})

    gate, triggers = gate_of(model), triggers_of(model)
    assert (gate.min_days, gate.min_rows, gate.confidence) == (14, 100, 0.95)
    assert (triggers.every, triggers.new_records) == (model.triggers.every, 0)


@pytest.mark.parametrize("name", REGISTRY)
def test_defaults_are_settings_that_exist_and_the_page_has_them(name: str) -> None:
    """A misspelt default would be ignored in silence."""
    workload = workload_class(name)
    GateSettings.model_validate({**workload.gate_defaults})
    TriggerSettings.model_validate({**workload.trigger_defaults})
    defaults = [
        ", ".join(f"`{setting} = {value}`" for setting, value in section.items())
        for section in (workload.gate_defaults, workload.trigger_defaults)
    ]

    rows = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    said = [cell.strip() for cell in rows[0].split("|")] if rows else ["", ""]
    assert said == defaults


@pytest.mark.parametrize(
    ("n_days", "expected"),
    [(0, 0), (1, 0), (2, 1), (7, 3), (14, 7), (30, 7), (60, 12), (140, 28), (765, 28)],
)
def test_what_is_held_out_is_what_a_comparison_needs(n_days: int, expected: int) -> None:
    """Of two weeks one, so that the second version can be judged; of two years four weeks."""
    assert days_held_out(n_days) == expected
