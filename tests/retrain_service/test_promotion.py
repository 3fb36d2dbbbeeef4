"""What may be promoted: which gate decides, and what it says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain_service.evaluation import Contract, Evaluation, Rival
from retrain_service.promotion import (
    InsufficientData,
    Promote,
    Reject,
    Verdict,
    anchor_after,
    check_trial,
    decide,
    reason,
)
from shared.model_loader import TrialResult
from shared.settings_per_model import GateSettings
from shared.workloads.base import FeatureSpec, Score
from tests.support.scores import a_score, an_evaluation, noisy

POLICY = GateSettings()
POINT = GateSettings(mode="point")
SUPERIOR = GateSettings(mode="superior")


def judged(candidate: float, champion: float | None = None, n_days: int = 40) -> Evaluation:
    return an_evaluation(
        a_score(candidate, n_days),
        champion=a_score(champion, n_days) if champion is not None else None,
        baseline=a_score(10.0, n_days),
    )


def gate(verdict: Verdict) -> str:
    return verdict.gates[-1].gate


@pytest.mark.parametrize(
    ("evaluation", "policy", "verdict", "decided_by"),
    [
        (judged(5.0), POLICY, Promote, "contract"),
        (judged(5.0, 5.0), POLICY, Promote, "contract"),
        (judged(5.5, 5.0), POLICY, Promote, "contract"),
        (judged(5.51, 5.0), POLICY, Reject, "champion"),
        (judged(11.0, 20.0), POLICY, Reject, "baseline"),
        (judged(float("nan"), 5.0), POLICY, Reject, "finite"),
        (judged(float("inf")), POLICY, Reject, "finite"),
        (judged(-1.0), POLICY, Reject, "finite"),
        (judged(0.0, 0.0), POLICY, Promote, "contract"),
        (judged(0.1, 0.0), POLICY, Reject, "champion"),
        (judged(5.0, n_days=0), POLICY, InsufficientData, "holdout"),
        (judged(5.0, 5.0, n_days=6), POLICY, InsufficientData, "champion"),
        (judged(5.0, n_days=1), POLICY, Promote, "contract"),  # a first version has no rival
        (judged(5.5, 5.0), POINT, Promote, "contract"),
        (judged(5.51, 5.0), POINT, Reject, "champion"),
        (judged(5.0, 5.0, n_days=6), POINT, InsufficientData, "champion"),
        (judged(5.0, 5.0), SUPERIOR, Reject, "champion"),
        (judged(4.9, 5.0), SUPERIOR, Promote, "contract"),
    ],
)
def test_which_gate_decides(
    evaluation: Evaluation, policy: GateSettings, verdict: type, decided_by: str
) -> None:
    """First failure stops; what cannot be measured fails."""
    decided = decide(evaluation, policy)

    assert isinstance(decided, verdict)
    assert gate(decided) == decided_by


def test_every_gate_is_written_down_in_order() -> None:
    """A promotion has to be explained as well as a refusal."""
    evaluation = an_evaluation(a_score(5.0), champion=a_score(5.0), anchor=a_score(5.0))

    decided = decide(evaluation, POLICY)

    assert [(found.gate, found.verdict) for found in decided.gates] == [
        ("holdout", "passed"),
        ("finite", "passed"),
        ("constant", "skipped"),
        ("baseline", "passed"),
        ("champion", "passed"),
        ("slices", "skipped"),
        ("anchor", "passed"),
        ("contract", "skipped"),
    ]
    assert all(found.sentence and found.n == 40 for found in decided.gates)


def doubtful(n_days: int) -> Score:
    """4 % above 5.0 on the mean, and far above or below it on each of 14 days."""
    swing = 4.0 if n_days == 14 else 0.0
    errors = [5.2 + (swing if i % 2 else -swing) for i in range(n_days)]
    return a_score(np.array(errors), n_days)


def test_a_small_difference_in_noise_is_not_enough_to_be_sure() -> None:
    """Promoted by luck today, the model is worse tomorrow; so it waits, which is no failure."""
    evaluation = an_evaluation(doubtful(14), champion=a_score(5.0, 14))

    unsure = decide(evaluation, POLICY)
    by_means = decide(evaluation, POINT)

    assert isinstance(unsure, InsufficientData)
    assert "not sure enough, about" in reason(unsure)
    assert "v000006 stays" in reason(unsure)
    assert isinstance(by_means, Promote)


@pytest.mark.parametrize(
    ("n_days", "age_days", "patience_days", "mode", "verdict"),
    [
        (14, 31, 30, "non_inferior", Promote),
        (14, 30, 30, "non_inferior", InsufficientData),
        (14, 900, 0, "non_inferior", InsufficientData),
        (14, 31, 30, "superior", Reject),
        (3, 31, 30, "non_inferior", Promote),
        (3, 31, 30, "point", Promote),
        (3, 29, 30, "point", InsufficientData),
        (3, 31, 30, "superior", InsufficientData),
    ],
)
def test_patience_ends_so_that_few_or_noisy_days_do_not_freeze_a_model(
    n_days: int, age_days: float, patience_days: int, mode: str, verdict: type
) -> None:
    """A history that is always short would keep the first model for ever, which nobody sees."""
    policy = GateSettings.model_validate({"mode": mode, "patience_days": patience_days})
    evaluation = an_evaluation(
        doubtful(n_days), champion=a_score(5.0, n_days), champion_age_days=age_days
    )

    assert isinstance(decide(evaluation, policy), verdict)


def test_when_patience_has_run_out_a_worse_mean_is_still_refused() -> None:
    """Patience is about doubt, not about quality."""
    evaluation = an_evaluation(
        a_score(6.0, 3), champion=a_score(5.0, 3), champion_age_days=365, history_days=15
    )

    decided = decide(evaluation, POLICY)

    assert isinstance(decided, Reject)
    assert reason(decided).endswith("worse; not promoted.")


def test_few_days_say_how_many_are_missing_and_how_much_data_that_is() -> None:
    """The holdout is a fifth of the history; a person thinks in days of data."""
    evaluation = an_evaluation(a_score(5.0, 3), champion=a_score(5.0, 3), history_days=15)

    sentence = reason(decide(evaluation, POLICY))

    assert (
        "too few days to tell, 7 are needed, 4 are missing (about 20 more days of data);"
        " v000006 stays." in sentence
    )


def test_fewer_days_than_can_carry_the_confidence_never_count_as_sure() -> None:
    """Four days cannot give 95 %: the greatest of four is too low once in sixteen."""
    policy = GateSettings(min_holdout_days=1, min_holdout_rows=1)

    verdicts = [type(decide(judged(5.0, 5.0, n_days=n), policy)) for n in (1, 4, 5)]

    assert verdicts == [InsufficientData, InsufficientData, Promote]


def test_a_champion_that_cannot_be_scored_does_not_block_its_successor() -> None:
    """A champion that new libraries cannot open would otherwise be the last one for ever."""
    evaluation = Evaluation(
        candidate=a_score(5.0),
        baseline=a_score(10.0),
        champion=Rival("v000006", None, "it does not open"),
    )

    decided = decide(evaluation, POLICY)

    assert isinstance(decided, Promote)
    assert "v000006 cannot be scored (it does not open): promoted." in reason(decided)


def constant_case(prediction: float | None, usual: float | None, *, varies: bool) -> Evaluation:
    rows: NDArray[np.float64] = np.arange(40.0)

    def score(error: float, at: float | None) -> Score:
        found = None if at is None else np.full(40, at) if at >= 0 else rows
        return a_score(error, prediction=found)

    return Evaluation(
        candidate=score(5.0, prediction), baseline=score(10.0, usual), target_varies=varies
    )


@pytest.mark.parametrize(
    ("prediction", "usual", "varies", "verdict"),
    [
        (-1, -1, True, "passed"),
        (3, -1, True, "failed"),
        (3, -1, False, "passed"),  # nothing varies: one answer is right
        (3, 0, True, "passed"),  # the baseline is constant too: that is this kind of model
        (3, None, True, "passed"),
        (None, -1, True, "skipped"),
    ],
)
def test_one_answer_for_every_row_is_a_broken_model_unless_it_is_meant(
    prediction: float | None, usual: float | None, varies: bool, verdict: str
) -> None:
    """A model that lost its features answers the mean, and can still beat a poor baseline."""
    decided = decide(constant_case(prediction, usual, varies=varies), POLICY)

    found = next(found for found in decided.gates if found.gate == "constant")
    assert found.verdict == verdict


# -- the anchor --------------------------------------------------------------------------------


def test_the_anchor_stops_what_the_champion_would_let_pass() -> None:
    """Each step is within 10 % of the one before; together they are not."""
    evaluation = an_evaluation(
        a_score(6.3), champion=a_score(6.0), anchor=a_score(5.0), baseline=a_score(10.0)
    )

    decided = decide(evaluation, POLICY)

    assert isinstance(decided, Reject)
    assert gate(decided) == "anchor"
    assert "best past version v000002 5 on the same 40 rows" in reason(decided)


def test_an_anchor_that_cannot_be_opened_is_said_and_skipped() -> None:
    """Old versions do not survive every library; the champion stands in as the next anchor."""
    evaluation = Evaluation(
        candidate=a_score(5.0),
        baseline=a_score(10.0),
        champion=Rival("v000006", a_score(5.0)),
        anchor=Rival("v000002", None, "it is gone"),
        version="v000007",
    )

    decided = decide(evaluation, POLICY)

    found = next(found for found in decided.gates if found.gate == "anchor")
    assert found.verdict == "skipped"
    assert "v000002 cannot be scored any more (it is gone): skipped." in found.sentence
    assert anchor_after(evaluation, POLICY) == "v000006"


@pytest.mark.parametrize(
    ("candidate", "anchor", "expected"),
    [
        (a_score(5.0), None, "v000007"),
        (a_score(4.9), a_score(5.0), "v000007"),
        (a_score(5.0), a_score(5.0), "v000002"),
        (a_score(5.1), a_score(5.0), "v000002"),
        (a_score(noisy(4.9, 10, seed=1), 10), a_score(noisy(5.0, 10, seed=2), 10), "v000002"),
        (a_score(4.9, 3), a_score(5.0, 3), "v000002"),
    ],
)
def test_only_a_surely_better_version_becomes_the_anchor(
    candidate: Score, anchor: Score | None, expected: str
) -> None:
    """An anchor that moves by chance drags along with the decay it should stop."""
    evaluation = an_evaluation(candidate, champion=None, anchor=anchor)

    assert anchor_after(evaluation, POLICY) == expected


# -- the contract ------------------------------------------------------------------------------

A, B = FeatureSpec("a", "float64", "W"), FeatureSpec("b", "int64", "days")
LIBRARIES = {"python": "3.12.1", "scikit-learn": "1.7.2", "numpy": "2.3.0"}


def a_contract(version: str = "v000006", **changes: object) -> Contract:
    fields = {
        "workload": "tabular",
        "features": (A, B),
        "libraries": LIBRARIES,
        "predicts": "rent",
        **changes,
    }
    return Contract(version=version, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"libraries": {**LIBRARIES, "scikit-learn": "1.9.0"}}, None),
        ({"libraries": {**LIBRARIES, "numpy": "3.0.0"}}, "numpy was 2.3.0, is 3.0.0"),
        ({"features": (A,)}, "missing ['b'], unexpected []"),
        ({"features": (B, A)}, "differ in order"),
        ({"features": (FeatureSpec("a", "int64", "W"), B)}, "a is int64, expected float64"),
        ({"features": (A, FeatureSpec("b", "category", "days"))}, "b is category, expected int64"),
        ({"features": (A, FeatureSpec("b", "float64", "days"))}, None),  # any number, whole or not
        ({"features": (FeatureSpec("a", "float64", "kW"), B)}, "a was in W, is in kW"),
        ({"workload": "solar_power"}, "workload was tabular, is solar_power"),
        ({"predicts": "age"}, "it predicted rent, now age"),
    ],
)
def test_a_version_that_clients_would_have_to_change_for_needs_permission(
    changes: dict[str, object], said: str | None
) -> None:
    """A new column in the configuration must not break every client at the next retrain."""
    evaluation = Evaluation(
        candidate=a_score(5.0),
        baseline=a_score(10.0),
        offered=a_contract("v000007", **changes),
        served=a_contract(),
    )

    decided = decide(evaluation, POLICY)
    permitted = decide(evaluation, GateSettings(allow_contract_change=True))

    assert isinstance(decided, Promote if said is None else Reject)
    assert isinstance(permitted, Promote)
    if said is not None:
        assert gate(decided) == "contract"
        assert said in reason(decided)


# -- the trial ---------------------------------------------------------------------------------

GOOD_TRIAL = TrialResult(None, {"verify_ms": 400.0, "load_ms": 1600.0}, 6, 180.0, 12.0, 8.0)


@pytest.mark.parametrize(
    ("tried", "settings", "decided_by"),
    [
        (GOOD_TRIAL, {}, None),
        (TrialResult("golden request 0: wrong"), {}, "trial"),
        (GOOD_TRIAL, {"max_load_s": 1.9}, "load_time"),
        (GOOD_TRIAL, {"max_memory_mb": 179}, "memory"),
        (GOOD_TRIAL, {"max_size_mb": 11}, "file_size"),
        (GOOD_TRIAL, {"max_latency_ms": 7.9}, "latency"),
        (TrialResult(None, {"load_ms": 1.0}, 6, None, 12.0, 8.0), {}, "memory"),
        (TrialResult(None, {}, 6, 180.0, 12.0, 8.0), {}, "load_time"),
    ],
)
def test_a_version_that_opens_but_is_too_slow_or_too_large_is_not_promoted(
    tried: TrialResult, settings: dict[str, float], decided_by: str | None
) -> None:
    """It would be found out in front of the users; what was not measured counts as too much."""
    before = decide(judged(5.0), POLICY).gates

    decided = check_trial(tried, GateSettings.model_validate(settings), before)

    assert decided.gates[: len(before)] == before
    assert isinstance(decided, Promote if decided_by is None else Reject)
    assert decided_by is None or gate(decided) == decided_by
    if decided_by is None:
        names = [found.gate for found in decided.gates[len(before) :]]
        assert names == ["trial", "load_time", "memory", "file_size", "latency"]
