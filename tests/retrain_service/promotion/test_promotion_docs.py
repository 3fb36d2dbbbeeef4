"""docs/promotion.md says what the code does: settings, gates and sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate.__main__ import BEGIN, END
from retrain_service.promotion.decide import Verdict, check_trial, decide
from shared.loading.trial_load import TrialResult
from shared.settings.per_model import GateSettings
from tests.support.scores import a_score, an_evaluation

PAGE = (Path(__file__).parents[3] / "docs" / "promotion.md").read_text(encoding="utf-8")
POLICY = GateSettings()


@pytest.mark.parametrize("name", GateSettings.model_fields)
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    """A page that is wrong about a default is worse than none."""
    field = GateSettings.model_fields[name]

    assert f"| `{name}` | `{json.dumps(field.default)}` | {field.description} |" in PAGE


def last(verdict: Verdict) -> str:
    return verdict.gates[-1].sentence


def sentence(verdict: Verdict, gate: str) -> str:
    return next(found.sentence for found in verdict.gates if found.gate == gate)


def test_every_example_is_what_the_gate_says() -> None:
    """People search the page for what they read in the log."""
    rows = 13
    slices = [f"part {i}" for i in range(10)]
    champion, better, worse, old = (
        a_score(error, rows_per_day=rows) for error in (5.0, 4.87, 6.0, 4.91)
    )
    swings = np.array([1.2, 9.2] * 7)
    by_part = a_score(5.0, rows_per_day=10, slices=slices)
    late = np.array([4.3, 6.1] * 7)
    first = a_score(np.repeat(np.array([7.5, 4.1, 4.6]), 4), 3, rows_per_day=4)
    bad_part = a_score(np.where(by_part.slices == "part 3", 10.0, 4.0), rows_per_day=10)

    said = [
        sentence(
            decide(
                an_evaluation(a_score(late, 14), champion=a_score(5.0, 14), champion_age_days=31),
                POLICY,
            ),
            "champion",
        ),
        sentence(
            decide(an_evaluation(first, baseline=a_score(5.0, 3, rows_per_day=4)), POLICY),
            "baseline",
        ),
        sentence(decide(an_evaluation(better, champion=old), POLICY), "champion"),
        last(decide(an_evaluation(worse, champion=champion), POLICY)),
        last(
            decide(
                an_evaluation(a_score(5.0, 3), champion=a_score(5.0, 3), history_days=15), POLICY
            )
        ),
        last(decide(an_evaluation(a_score(swings, 14), champion=a_score(5.0, 14)), POLICY)),
        last(
            decide(
                an_evaluation(a_score(6.3, rows_per_day=rows), champion=worse, anchor=champion),
                POLICY,
            )
        ),
        last(
            decide(
                an_evaluation(
                    a_score(bad_part.loss, rows_per_day=10, slices=slices), champion=by_part
                ),
                POLICY,
            )
        ),
    ]

    assert [text for text in said if text not in PAGE] == []


def test_every_line_of_the_log_is_explained() -> None:
    """Each name that a verdict can carry."""
    tried = check_trial(TrialResult(None, {"load_ms": 1.0}, 1, 1.0, 1.0, 1.0), POLICY, ())
    judged = decide(an_evaluation(a_score(5.0)), POLICY)
    of_data = ["schema", "labels", "duplicates", "rejected", "amount", "freshness"]
    names = [found.gate for found in (*judged.gates, *tried.gates)]

    for name in [*names, *(f"data_{what}" for what in of_data)]:
        assert f"`{name}`" in PAGE


def test_the_simulation_has_been_written_into_the_page() -> None:
    """Claims without figures are not claims."""
    written = PAGE.partition(BEGIN)[2].partition(END)[0]

    assert written.count("| ---") >= 4
