"""The product similarity workload from documents to answers, and how a version is judged."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from datetime import timedelta
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.data_gate import check_data
from retrain_service.promotion.decide import decide
from retrain_service.promotion.gate_result import Promote, Reject
from shared.errors import LoadFailed, NotFound, RequestInvalid, SettingsInvalid
from shared.settings.per_model import GateSettings
from shared.workloads import open_workload
from shared.workloads.product_catalogue.similarity import Similarity
from shared.workloads.product_similarity.workload import ProductSimilarity
from shared.workloads.training import TrainingSet
from tests.shared.workloads.shop import (
    NOW,
    ids,
    no_progress,
    opened,
    products,
    rows_of,
    similarity,
    table,
)


def _verdict(catalogue: list[dict[str, Any]], champion: Any, **parameters: Any) -> Any:
    """What the gates say to a candidate on this catalogue, as the trainer asks them."""
    workload = ProductSimilarity(parameters)
    rows, _ = check_data(
        rows_of(workload, catalogue),
        GateSettings(),
        features=workload.features,
        n_records=len(catalogue),
        now=NOW,
    )
    train, holdout = workload.split(rows)
    candidate = workload.fit(train, 0, no_progress)
    evaluation = Evaluation(
        workload.score(candidate, holdout),
        workload.score_baseline(holdout),
        champion=Reference("v000001", workload.score(champion, holdout)),
        history_days=rows.n_days,
    )
    return decide(evaluation, GateSettings())


def test_similar_products_have_the_fields_that_shops_read_best_first() -> None:
    """Existing clients parse exactly this."""
    answer = similarity(products()).answer("similar", {"product_id": "p000", "n": 5}, NOW)

    scores = [one["similarity_score"] for one in answer["recommendations"]]
    assert list(answer) == ["product_id", "recommendations", "total"]
    assert list(answer["recommendations"][0]) == [
        "product_id", "name", "category", "price", "rating", "similarity_score",
    ]  # fmt: skip
    assert answer["total"] == 5
    assert scores == sorted(scores, reverse=True)
    assert "p000" not in ids(answer)
    assert all(0 <= score <= 1 for score in scores)
    assert {one["category"] for one in answer["recommendations"]} == {"Bicycles"}


def test_the_score_is_seventy_per_cent_text_twenty_price_ten_rating() -> None:
    """A shop that asks why a product is shown gets an answer that can be checked by hand."""
    same = {"description": "steel lamp", "category": "Lamps", "status": "approved"}
    catalogue = [
        {**same, "id": "a", "name": "lamp", "price": 9, "rating": 5},
        {**same, "id": "b", "name": "lamp", "price": 19, "rating": 2.5},
        {"id": "c", "name": "garden hose", "price": 9, "rating": 5},
    ]

    answer = similarity(catalogue).answer("similar", {"product_id": "a"}, NOW)

    scores = {one["product_id"]: one["similarity_score"] for one in answer["recommendations"]}
    assert scores["b"] == pytest.approx(0.7 + 0.2 * 10 / 20 + 0.1 * 0.5, abs=1e-4)
    assert scores["c"] == pytest.approx(0.2 + 0.1, abs=1e-4)


def test_the_neighbours_are_exactly_those_of_comparing_every_pair() -> None:
    """The fast way through common and rare words and chunks must not lose a neighbour."""
    workload = ProductSimilarity({})
    training_catalogue = rows_of(workload, products(900, seed=3)).context
    catalogue, price = training_catalogue.catalogue, 1 + training_catalogue.catalogue.prices
    vectors = training_catalogue.vectors.matrix.toarray().astype(np.float64)
    every = 0.7 * vectors @ vectors.T
    every += 0.2 * np.minimum(price[:, None] / price, price / price[:, None])
    every += 0.1 * (1 - np.abs(catalogue.ratings[:, None] - catalogue.ratings) / 5)
    np.fill_diagonal(every, -1)

    found = training_catalogue.neighbours(Similarity())

    expected = -np.sort(-every, axis=1)[:, : found.places.shape[1]]
    reached = np.take_along_axis(every, found.places.astype(np.int64), axis=1)
    assert found.places.shape == (900, 50)
    assert np.allclose(reached, expected, atol=1e-5)
    assert np.allclose(found.scores, expected, atol=1e-5)


def test_what_is_not_approved_or_gone_is_never_recommended() -> None:
    """A deleted product that is still advertised is an order that cannot be filled."""
    catalogue = products()
    before = similarity(catalogue)
    best = ids(before.answer("similar", {"product_id": "p000"}, NOW))
    catalogue = [one for one in catalogue if one["id"] != best[0]]
    for one in catalogue:
        if one["id"] == best[1]:
            one["status"] = "pending"

    after = similarity(catalogue)

    everywhere = {
        found
        for one in catalogue
        if one["id"] != best[1]
        for found in ids(after.answer("similar", {"product_id": one["id"], "n": 50}, NOW))
    }
    assert not everywhere & set(best[:2])
    for gone in best[:2]:
        with pytest.raises(NotFound, match="the next training brings it"):
            after.answer("similar", {"product_id": gone}, NOW)


@pytest.mark.parametrize(
    ("question", "request_", "said"),
    [
        ("similar", {}, "product_id: expected an id"),
        ("similar", {"product_id": "p000", "n": 0}, "n: expected a whole number from 1 to 50"),
        ("similar", {"product_id": "p000", "n": True}, "n: expected"),
        ("similar", {"product_id": "p000", "m": 1}, "unexpected"),
        ("predict", {"instances": []}, "instances: expected a list"),
        ("predict", {"instances": [{"product": "p000"}]}, "'missing': ['product_id']"),
        ("predict", {"instances": [{"product_id": None}]}, "instances[0].product_id"),
    ],
)
def test_a_wrong_request_is_told_what_was_expected_and_where(
    question: str, request_: dict[str, Any], said: str
) -> None:
    """The message is a diff for whoever wrote the client."""
    answerer = similarity(products(12))

    with pytest.raises(RequestInvalid) as raised:
        answerer.answer(question, request_, NOW)

    assert said in str(raised.value)


def test_predict_answers_many_products_as_similar_answers_one() -> None:
    """Newsletters ask for the whole catalogue at once."""
    answerer = similarity(products())
    asked = ["p003", "p010"]

    many = answerer.answer("predict", {"instances": [{"product_id": one} for one in asked]}, NOW)

    assert many["predictions"] == [
        ids(answerer.answer("similar", {"product_id": one}, NOW)) for one in asked
    ]


# -- judging ---------------------------------------------------------------------------------------


def test_text_beats_the_nearest_price_where_categories_mean_something() -> None:
    """The category is hidden from the product that asks; words alone must lead back to it."""
    workload = ProductSimilarity({})
    _, holdout = workload.split(rows_of(workload, products()))

    score = workload.score(Similarity(), holdout)

    assert score.metrics["category_precision_10"] > 0.9
    assert score.loss.mean() < 0.5 * workload.score_baseline(holdout).loss.mean()


def test_without_categories_a_product_must_be_found_by_half_of_its_words() -> None:
    """A shop without categories is judged too, by what it has."""
    catalogue = [{**one, "category": None} for one in products()]
    workload = ProductSimilarity({})
    _, holdout = workload.split(rows_of(workload, catalogue))

    score = workload.score(Similarity(), holdout)

    assert score.metrics["known_item_hit_rate_10"] > 0.8
    assert score.loss.mean() < workload.score_baseline(holdout).loss.mean()


def test_a_catalogue_that_gained_and_lost_products_is_promoted_at_once() -> None:
    """The shop wants the newest catalogue; no number of days has to pass for it."""
    catalogue = products(80)[5:] + products(90, seed=2)[80:]

    verdict = _verdict(catalogue, Similarity())

    assert isinstance(verdict, Promote), verdict.gates[-1].sentence


def test_weights_that_make_answers_worse_are_refused_on_the_same_catalogue() -> None:
    """Freshness comes for free; a change of the comparison has to earn its place."""
    verdict = _verdict(
        products(), Similarity(), text_weight=0.0, price_weight=0.1, rating_weight=1.0
    )

    assert isinstance(verdict, Reject)


def test_an_import_that_mixed_up_the_texts_is_refused() -> None:
    """A shifted column makes words mislead: worse than the nearest price, so the old one stays."""
    catalogue = products()
    texts = [(one["name"], one["description"]) for one in catalogue]
    random.Random(0).shuffle(texts)
    mixed_up = [
        {**one, "name": name, "description": description}
        for one, (name, description) in zip(catalogue, texts, strict=True)
    ]

    verdict = _verdict(mixed_up, Similarity())

    assert isinstance(verdict, Reject)
    assert verdict.gates[-1].gate == "baseline"


def test_every_judged_day_is_later_than_what_the_last_version_was_trained_until() -> None:
    """Even when the newest record was deleted since, so that the newest day moved back."""
    workload = ProductSimilarity({})
    last, _ = workload.split(rows_of(workload, products()))
    earlier = table("products", products(), NOW - timedelta(days=200))

    train, holdout = workload.split(workload.training_set({"products": earlier}))

    assert train.day.max() < holdout.day.min()
    assert (holdout.day > last.day.max()).all()


def test_training_on_the_newest_days_only_keeps_the_whole_catalogue() -> None:
    """`days=30` is meant for histories; a product is not old because nobody edited it."""
    workload = ProductSimilarity({})
    rows = rows_of(workload, products())
    rows = rows.where(rows.day > rows.day.max() - np.timedelta64(30, "D"))

    train, holdout = workload.split(rows)

    assert train.n_rows > 0
    assert holdout.n_rows > 0
    assert len(rows.context.catalogue) == 80


# -- store and load --------------------------------------------------------------------------------


def _stored(estimator: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


def _same_answers(workload: Any, rows: TrainingSet) -> None:
    estimator = workload.fit(workload.split(rows)[0], 0, no_progress)
    trained = workload.open(estimator, workload.state(rows))
    loaded = workload.open(_stored(estimator), workload.state(rows))
    for golden in workload.golden_requests(rows):
        sent = msgspec.json.decode(msgspec.json.encode(golden.request))
        answer = trained.answer(golden.question, golden.request, golden.now)
        assert loaded.answer(golden.question, sent, golden.now) == answer
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


def test_a_stored_and_loaded_version_answers_every_golden_request_alike() -> None:
    """The trainer's answers are what a version must repeat before it may serve."""
    workload = ProductSimilarity({})
    rows = rows_of(workload, products())

    _same_answers(workload, rows)
    asked = {golden.question for golden in workload.golden_requests(rows)}
    assert asked == set(opened(workload, rows).questions)


def test_the_same_documents_give_the_same_bytes() -> None:
    """A run that cannot be repeated cannot be explained."""
    workload = ProductSimilarity({})

    one, other = (workload.state(rows_of(workload, products())) for _ in range(2))

    assert one == other
    assert set(one) == {"state.json", "state.npz"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda state: state.pop("state.npz"), "missing ['state.npz']"),
        (lambda state: state.update({"state.json": b"{"}), "cannot be read"),
        (lambda state: state.update({"state.npz": b"PK"}), "cannot be read"),
        (
            lambda state: state.update(
                {"state.json": state["state.json"].replace(b'"format":1', b'"format":9')}
            ),
            "expected (format",
        ),
    ],
)
def test_a_damaged_state_is_refused_at_loading_with_a_sentence(damage: Any, said: str) -> None:
    """What fails at loading leaves the old version serving; what fails later fails a client."""
    workload = ProductSimilarity({})
    state = dict(workload.state(rows_of(workload, products(12))))
    damage(state)

    with pytest.raises(LoadFailed) as raised:
        workload.open(Similarity(), state)

    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["product_similarity", "product_recommender"])
def test_the_serving_half_needs_neither_pandas_nor_scikit_learn(name: str) -> None:
    """They cost a serving worker a second of start-up and a hundred megabytes."""
    code = (
        f"import sys, shared.workloads.{name}.workload; "
        "print(sorted({'pandas', 'sklearn', 'scipy', 'joblib'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        (
            "product_similarity",
            {"text_weight": 0, "price_weight": 0, "rating_weight": 0},
            "above 0",
        ),
        ("product_similarity", {"text": 1}, "Known parameters: text_weight"),
        ("product_recommender", {"taste_half_life": -1}, "taste_half_life"),
        (
            "product_recommender",
            {"content_weight": 0, "collaborative_weight": 0, "popularity_weight": 0},
            "above 0",
        ),
    ],
)
def test_a_wrong_parameter_is_a_sentence_for_whoever_configures(
    name: str, parameters: dict[str, Any], said: str
) -> None:
    """It is found at start-up, not at the first training at midnight."""
    with pytest.raises(SettingsInvalid, match=said):
        open_workload(name, parameters)


_odd = st.fixed_dictionaries(
    {"name": st.text(max_size=8)},
    optional={
        "id": st.integers(0, 9) | st.text(max_size=3),
        "description": st.text(max_size=20) | st.none(),
        "category": st.sampled_from(["A", "B", ""]) | st.none(),
        "price": st.floats() | st.text(max_size=5) | st.none(),
        "rating": st.integers(-1, 9) | st.none(),
        "status": st.sampled_from(["approved", "draft"]),
    },
)


@settings(deadline=None, max_examples=60)
@given(catalogue=st.lists(_odd, max_size=25))
def test_any_catalogue_is_trained_or_said_to_be_too_small(catalogue: list[dict[str, Any]]) -> None:
    """Empty, of one product, all alike, without a word: each is somebody's first day."""
    workload = ProductSimilarity({})
    rows = rows_of(workload, catalogue)
    train, holdout = workload.split(rows)

    if holdout.n_rows:
        score = workload.score(workload.fit(train, 0, no_progress), holdout)
        loss = np.concatenate([score.loss, workload.score_baseline(holdout).loss])
        assert np.isfinite(loss).all()
        assert (loss >= 0).all()
        assert (loss <= 1).all()
    if rows.n_rows:
        _same_answers(workload, rows)


def test_inflected_words_compounds_and_texts_without_spaces_are_compared() -> None:
    """German makes new words by the day, and Japanese sets no spaces between them."""
    names = [
        "Gartenstühle",
        "Gartenstuhl",
        "Handtasche",
        "Umhängetasche",
        "木製の椅子",
        "事務用椅子",
    ]
    catalogue = [{"id": f"p{i}", "name": name} for i, name in enumerate(names)]

    answerer = similarity(catalogue, price_weight=0.0, rating_weight=0.0)

    for asked, expected in (("p0", "p1"), ("p2", "p3"), ("p4", "p5")):
        assert ids(answerer.answer("similar", {"product_id": asked, "n": 1}, NOW)) == [expected]
