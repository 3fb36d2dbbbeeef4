"""What may be promoted: which gate decides, and what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain_service.evaluation.scores import Evaluation, FeatureContract, Reference
from retrain_service.promotion.decide import (
    InsufficientData,
    Promote,
    Reject,
    Verdict,
    anchor_after,
    check_trial,
    decide,
    reason,
)
from shared.loading.trial_load import TrialResult
from shared.settings.per_model import GateSettings
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import Score
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
        (judged(11.0, 20.0), POLICY, Promote, "contract"),  # better than what serves, at least
        (judged(11.0, 11.0), POLICY, Reject, "baseline"),
        (judged(11.0), POLICY, Reject, "baseline"),
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
        ("champion", "passed"),
        ("baseline", "passed"),
        ("slices", "skipped"),
        ("anchor", "passed"),
        ("contract", "skipped"),
    ]
    assert all(found.sentence and found.n == 40 for found in decided.gates)


def doubtful(n_days: int, swing: float = 4.0) -> Score:
    """4 % above 5.0 on the mean of an even number of days, and far above or below it on each."""
    errors = [5.2 + (swing if i % 2 else -swing) for i in range(n_days)]
    return a_score(np.array(errors), n_days)


def test_a_small_difference_in_noise_is_not_enough_to_be_sure() -> None:
    """Promoted by luck today, the model is worse tomorrow; so it waits, which is no failure."""
    evaluation = an_evaluation(doubtful(14), champion=a_score(5.0, 14))

    unsure = decide(evaluation, POLICY)
    by_means = decide(evaluation, POINT)

    assert isinstance(unsure, InsufficientData)
    assert "undecided, about" in reason(unsure)
    assert "v000006 keeps serving" in reason(unsure)
    assert isinstance(by_means, Promote)


@pytest.mark.parametrize(
    ("n_days", "swing", "age_days", "settings", "verdict"),
    [
        (14, 0.9, 31, {}, Promote),
        (14, 0.9, 30, {}, InsufficientData),
        (14, 0.9, 900, {"max_undecided_days": 0}, InsufficientData),
        (14, 0.9, 31, {"confidence": 0.7}, Promote),
        (14, 4.0, 900, {}, InsufficientData),  # less certainty, but never none
        (14, 0.9, 900, {"mode": "superior"}, Reject),
        (6, 0.0, 900, {}, InsufficientData),  # and never fewer days
        (6, 0.0, 900, {"mode": "point"}, InsufficientData),
        (6, 0.0, 900, {"mode": "superior"}, InsufficientData),
        (4, 0.0, 31, {"min_holdout_days": 3, "min_holdout_rows": 4}, Promote),
        (4, 0.0, 30, {"min_holdout_days": 3, "min_holdout_rows": 4}, InsufficientData),
    ],
)
def test_patience_asks_for_less_certainty_never_for_none_and_never_on_fewer_days(
    n_days: int, swing: float, age_days: float, settings: dict[str, object], verdict: type
) -> None:
    """Noisy days must not freeze a model; and one held-out row, each day anew, must not decide."""
    policy = GateSettings.model_validate(settings)
    evaluation = an_evaluation(
        doubtful(n_days, swing), champion=a_score(5.0, n_days), champion_age_days=age_days
    )

    assert isinstance(decide(evaluation, policy), verdict)


def test_each_late_try_asks_for_more_than_the_one_before() -> None:
    """Asked anew each day, what passes in one try of five has passed within a week."""
    evaluation = an_evaluation(doubtful(14, 0.9), champion=a_score(5.0, 14), champion_age_days=31)

    verdicts = [decide(replace(evaluation, late_tries=n), POLICY) for n in (0, 20)]

    assert [type(verdict) for verdict in verdicts] == [Promote, InsufficientData]
    assert "94.3 % certainty is enough after 20 tries" in reason(verdicts[1])


def test_twice_the_limit_is_ruled_out_whatever_the_noise() -> None:
    """Where two models hardly have an error in common, one that is far worse looks fine often."""
    champion = a_score(5.0, 8)
    errors = np.array([3.1, 7.5, 3.4, 5.6, 2.6, 4.9, 7.4, 2.3]) + 0.4
    evaluation = an_evaluation(a_score(errors, 8), champion=champion)

    wide = GateSettings(confidence=0.6, min_holdout_rows=8)

    assert isinstance(decide(evaluation, wide), InsufficientData)
    assert "+20 % cannot be ruled out with 99 % certainty" in reason(decide(evaluation, wide))


@pytest.mark.parametrize("order", [1, 2])
def test_days_of_very_unlike_losses_keep_no_version_that_is_almost_the_same(order: int) -> None:
    """What is hard for both is no doubt about which of them is worse."""
    losses = np.full(14, 0.5)
    losses[[3, 8]] = 40.0
    more = 1.0 + 0.004 * np.resize([1.0, 0.5], 14)
    evaluation = an_evaluation(
        a_score(losses * more, 14, order=order), champion=a_score(losses, 14, order=order)
    )

    assert isinstance(decide(evaluation, POLICY), Promote)


@pytest.mark.parametrize("order", [1, 2])
def test_ten_percent_more_means_the_same_whichever_the_loss_is(order: int) -> None:
    """A mean is judged by squares, and 21 % more of those are 10 % more error."""
    verdicts = {}
    for error in (5.4, 5.6):
        candidate = a_score(np.full(40, error**order), order=order)
        champion = a_score(np.full(40, 5.0**order), order=order)
        verdicts[error] = decide(
            an_evaluation(candidate, champion=champion, anchor=champion), POLICY
        )

    assert isinstance(verdicts[5.4], Promote)
    assert isinstance(verdicts[5.6], Reject)
    assert "Error 5.6 pieces, champion 5 on" in reason(verdicts[5.6])


def test_when_patience_has_run_out_a_worse_mean_is_still_refused() -> None:
    """Patience is about doubt, not about quality."""
    evaluation = an_evaluation(a_score(6.0, 14), champion=a_score(5.0, 14), champion_age_days=365)

    decided = decide(evaluation, POLICY)

    assert isinstance(decided, Reject)
    assert reason(decided).endswith("worse; not promoted.")


def test_the_sentence_says_that_less_certainty_was_enough() -> None:
    """Whoever wonders a month later why it was promoted finds it in the log."""
    evaluation = an_evaluation(doubtful(14, 0.9), champion=a_score(5.0, 14), champion_age_days=31.2)

    sentence = reason(decide(evaluation, POLICY))

    assert "with 80 % certainty at most" in sentence
    assert (
        "v000006 is 31 days old (max_undecided_days = 30), so 80 % certainty is enough" in sentence
    )


def test_the_anchor_has_no_patience() -> None:
    """What passes by patience each month would add up, which is what the anchor is there for."""
    noisy_candidate = doubtful(14, 3.0)
    evaluation = an_evaluation(
        noisy_candidate, champion=noisy_candidate, anchor=a_score(5.0, 14), champion_age_days=900
    )

    decided = decide(evaluation, POLICY)

    assert isinstance(decided, InsufficientData)
    assert gate(decided) == "anchor"
    assert "with 95 % certainty" in reason(decided)


@pytest.mark.parametrize(
    ("candidate", "champion", "naive", "verdict", "serves_baseline"),
    [
        (9.0, 20.0, 10.0, Promote, False),
        (11.0, 20.0, 10.0, Promote, True),
        (20.0, 20.0, 10.0, Promote, True),
        (30.0, 20.0, 10.0, Promote, True),
        (float("nan"), 20.0, 10.0, Promote, True),
        (11.0, 10.5, 10.0, Promote, True),
        (11.0, 9.0, 10.0, Reject, False),
        (9.5, 9.0, 10.0, Promote, False),
        (1e-15, 5e-16, 0.0, Promote, False),  # all three are perfect
    ],
)
def test_of_candidate_champion_and_baseline_the_best_serves(
    candidate: float, champion: float, naive: float, verdict: type, serves_baseline: bool
) -> None:
    """What a changed world has made bad is kept by no gate."""
    scores = [replace(a_score(error), scale=10.0) for error in (candidate, champion, naive)]
    evaluation = an_evaluation(scores[0], champion=scores[1], baseline=scores[2])

    decided = decide(replace(evaluation, can_serve_baseline=True), POLICY)

    assert isinstance(decided, verdict)
    assert getattr(decided, "serves_baseline", False) is serves_baseline
    if serves_baseline:
        assert "naive baseline is served" in reason(decided)


@pytest.mark.parametrize(
    ("candidate", "champion", "naive"),
    [(1e-15, 0.0, 5e-16), (0.0, 0.0, 0.0), (3e-15, 1e-15, 0.0), (0.0, 1e-15, 2e-15)],
)
@pytest.mark.parametrize("order", [1, 2])
def test_no_gate_tells_apart_what_floating_point_cannot(
    candidate: float, champion: float, naive: float, order: int
) -> None:
    """Demand that is the same each day leaves errors of nothing but rounding."""
    scores = [
        replace(a_score(np.full(40, error**order), order=order), scale=3.0)
        for error in (candidate, champion, naive)
    ]
    evaluation = an_evaluation(scores[0], champion=scores[1], anchor=scores[1], baseline=scores[2])

    decided = decide(replace(evaluation, can_serve_baseline=True), POLICY)

    assert isinstance(decided, Promote), reason(decided)
    assert not decided.serves_baseline


@pytest.mark.parametrize(
    ("n_days", "can_serve", "champion_is_baseline", "mode"),
    [
        (6, True, False, "non_inferior"),
        (4, True, False, "point"),
        (40, False, False, "non_inferior"),
        (40, True, True, "non_inferior"),
    ],
)
def test_the_baseline_is_not_served_on_few_days_nor_where_it_cannot_or_does_already(
    n_days: int, can_serve: bool, champion_is_baseline: bool, mode: str
) -> None:
    """One bad day must not replace a model by a guess."""
    evaluation = an_evaluation(
        a_score(20.0, n_days), champion=a_score(20.0, n_days), baseline=a_score(10.0, n_days)
    )
    assert evaluation.champion is not None
    champion = replace(evaluation.champion, is_baseline=champion_is_baseline)
    evaluation = replace(evaluation, champion=champion, can_serve_baseline=can_serve)

    decided = decide(evaluation, GateSettings.model_validate({"mode": mode}))

    assert not isinstance(decided, Promote)


@pytest.mark.parametrize(("error", "verdict"), [(9.0, Promote), (10.0, Reject), (10.5, Reject)])
def test_a_baseline_that_serves_is_replaced_only_by_what_surely_beats_it(
    error: float, verdict: type
) -> None:
    """Else the two would take turns."""
    evaluation = judged(error, 10.0)
    assert evaluation.champion is not None
    champion = replace(evaluation.champion, is_baseline=True)

    decided = decide(replace(evaluation, champion=champion, can_serve_baseline=True), POLICY)

    assert isinstance(decided, verdict)


# -- the naive baseline ------------------------------------------------------------------------


def first_version(by_day: list[float]) -> Verdict:
    """Candidate with these errors, four rows a day; the baseline's is 5.0 on each."""
    n = len(by_day)
    candidate = a_score(np.repeat(np.array(by_day), 4), n, rows_per_day=4)
    return decide(an_evaluation(candidate, baseline=a_score(5.0, n, rows_per_day=4)), POLICY)


@pytest.mark.parametrize(
    ("by_day", "verdict", "sentence"),
    [
        ([4.0, 5.2, 4.6], Promote, "no worse."),
        ([7.5, 4.1, 4.6], Promote, "with 95 % certainty at least"),
        ([7.1, 7.4, 6.9], Reject, "worse than the naive baseline; not promoted."),
        (
            [5.1],
            InsufficientData,
            "too few days to tell whether it is worse than the naive baseline",
        ),
        ([4.9], Promote, "no worse."),
    ],
)
def test_a_first_version_is_refused_only_when_it_is_surely_worse_than_the_baseline(
    by_day: list[float], verdict: type, sentence: str
) -> None:
    """Of three held-out days one is often bad by chance; without a first version nothing serves."""
    decided = first_version(by_day)

    assert isinstance(decided, verdict)
    assert sentence in next(found.sentence for found in decided.gates if found.gate == "baseline")


def test_what_floating_point_cannot_tell_apart_is_equal() -> None:
    """Perfectly regular demand: both are right to the last digit but one."""
    candidate, baseline = a_score(1.4e-15), a_score(5.0e-16)
    scores = [replace(score, scale=3.0) for score in (candidate, baseline)]

    first = decide(Evaluation(candidate=scores[0], baseline=scores[1]), POLICY)
    next_one = decide(
        Evaluation(
            candidate=scores[0],
            baseline=scores[1],
            champion=Reference("v000006", scores[1]),
            anchor=Reference("v000002", scores[1]),
        ),
        POLICY,
    )
    worse = decide(
        Evaluation(
            candidate=replace(a_score(0.01), scale=3.0),
            baseline=replace(a_score(0.02), scale=3.0),
            champion=Reference("v000006", scores[1]),
        ),
        POLICY,
    )

    assert isinstance(first, Promote)
    assert isinstance(next_one, Promote)
    assert isinstance(worse, Reject)
    assert gate(worse) == "champion"


def test_few_days_say_how_many_are_missing_and_how_much_data_that_is() -> None:
    """The holdout is a fifth of the history; a person thinks in days of data."""
    evaluation = an_evaluation(a_score(5.0, 3), champion=a_score(5.0, 3), history_days=15)

    sentence = reason(decide(evaluation, POLICY))

    assert (
        "too few days to tell, 7 are needed, 4 are missing (about 20 more days of data);"
        " v000006 keeps serving." in sentence
    )


@pytest.mark.parametrize(
    ("error", "n_days", "mode", "verdict"),
    [
        (5.0, 1, "non_inferior", Promote),
        (4.9, 4, "non_inferior", Promote),
        (5.1, 4, "non_inferior", InsufficientData),
        (5.1, 5, "non_inferior", Promote),
        (5.6, 4, "non_inferior", Reject),
        (4.9, 4, "superior", InsufficientData),
    ],
)
def test_on_fewer_days_than_carry_a_bound_a_candidate_must_not_be_worse_at_all(
    error: float, n_days: int, mode: str, verdict: type
) -> None:
    """Four days cannot give 95 %: the greatest of four is too low once in sixteen. Whoever allows
    so few is told by plain means, without the tolerance that only a bound makes safe."""
    few = {"min_holdout_days": 1, "min_holdout_rows": 1, "mode": mode}

    decided = decide(judged(error, 5.0, n_days=n_days), GateSettings.model_validate(few))

    assert isinstance(decided, verdict)


@pytest.mark.parametrize(
    ("lacks", "served", "settings", "verdict"),
    [
        ("answers", True, {}, InsufficientData),
        ("answers", False, {}, InsufficientData),
        ("answers", False, {"allow_unscored_champion": True}, Promote),
        ("contract", True, {}, Promote),  # here the contract gate decides, and has nothing against
        ("contract", False, {}, InsufficientData),
        ("version", False, {}, Promote),
    ],
)
def test_a_champion_that_cannot_be_scored_is_no_free_pass(
    lacks: str, served: bool, settings: dict[str, object], verdict: type
) -> None:
    """Slices, anchor and contract have nothing to compare with either: a person must say so."""
    evaluation = Evaluation(
        candidate=a_score(5.0),
        baseline=a_score(10.0),
        champion=Reference("v000006", None, "it does not open", lacks=lacks),  # type: ignore[arg-type]
        offered=a_contract("v000007"),
        served=a_contract() if served else None,
    )

    decided = decide(evaluation, GateSettings.model_validate(settings))

    assert isinstance(decided, verdict)
    assert "The champion v000006 cannot be scored (it does not open)" in reason(decided)


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
        champion=Reference("v000006", a_score(5.0)),
        anchor=Reference("v000002", None, "it is gone"),
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


def a_contract(version: str = "v000006", **changes: object) -> FeatureContract:
    fields = {
        "workload": "tabular",
        "features": (A, B),
        "libraries": LIBRARIES,
        "predicts": "rent",
        **changes,
    }
    return FeatureContract(version=version, **fields)  # type: ignore[arg-type]


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
