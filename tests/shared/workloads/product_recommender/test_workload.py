"""The product recommender workload from documents to answers, and how a version is judged."""

from __future__ import annotations

import io
from collections import Counter
from datetime import timedelta
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.data_gate import check_data
from retrain_service.promotion.decide import decide
from retrain_service.promotion.gate_result import Promote
from shared.errors import LoadFailed, NotFound, RequestInvalid
from shared.settings.per_model import GateSettings
from shared.workloads.contract import Answerer
from shared.workloads.product_catalogue.records import NO_NAME
from shared.workloads.product_recommender import evaluation as ranking_test
from shared.workloads.product_recommender.item_regression import regress_items
from shared.workloads.product_recommender.model import ONLY_POPULAR, Blend
from shared.workloads.product_recommender.records import UNKNOWN_KIND
from shared.workloads.product_recommender.rows import (
    CAME_TWICE,
    NOTHING_TO_TAKE_BACK,
    TAKEN_BACK,
)
from shared.workloads.product_recommender.serving import Recommendations
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.shared.workloads.shop import (
    CATEGORIES,
    FIRST_DAY,
    NOW,
    events,
    ids,
    no_progress,
    opened,
    products,
    recommender,
    rows_of,
    table,
)

PARTS = {"learn_weights": False}


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    return recommender(products(), events())


def _event(user: str, product: str, kind: str = "view", day: float = 0) -> dict[str, Any]:
    at = (FIRST_DAY + timedelta(days=day)).isoformat()
    return {"user_id": user, "product_id": product, "type": kind, "timestamp": at}


# -- answers ---------------------------------------------------------------------------------------


def test_a_customer_gets_products_like_those_that_they_and_their_like_met(
    answerer: Answerer,
) -> None:
    """Most of what each made-up customer met is of one category; the answer must show it."""
    n_right = 0
    for user in range(40):
        answer = answerer.answer("for_user", {"user_id": f"u{user:03d}", "n": 5}, NOW)
        liked = CATEGORIES[user % len(CATEGORIES)]
        n_right += sum(one["category"] == liked for one in answer["recommendations"])
        assert answer["basis"] == "history"
        assert answer["total"] == 5

    assert n_right > 0.7 * 40 * 5


def test_answers_have_the_fields_that_shops_read(answerer: Answerer) -> None:
    """The same six for each product in every answer."""
    for question, request in (
        ("similar", {"product_id": "p000"}),
        ("for_user", {"user_id": "u001"}),
        ("popular", {}),
    ):
        answer = answerer.answer(question, request, NOW)
        assert list(answer["recommendations"][0]) == [
            "product_id", "name", "category", "price", "rating", "similarity_score",
        ]  # fmt: skip
        assert len(answer["recommendations"]) == answer["total"] == 5


def test_an_unknown_customer_gets_what_is_popular(answerer: Answerer) -> None:
    """Most visitors are new; an empty shelf or an error sells nothing."""
    unknown = answerer.answer("for_user", {"user_id": "nobody", "n": 7}, NOW)
    popular = answerer.answer("popular", {"n": 7}, NOW)

    assert unknown["basis"] == "popularity"
    assert unknown["recommendations"] == popular["recommendations"]


def test_what_is_bought_or_rated_is_not_recommended_again_unless_asked() -> None:
    """Nobody buys the same lamp twice in a week; nappies are another matter."""
    happened = [*events(), *(_event("u000", f"p{i:03d}", "purchase", 61) for i in range(0, 76, 4))]
    happened.append({"user_id": "u000", "product_id": "p076", "rating": 5})
    answerer = recommender(products(), happened)
    owned = {f"p{i:03d}" for i in range(0, 80, 4)}

    usual = answerer.answer("for_user", {"user_id": "u000", "n": 50}, NOW)
    asked = answerer.answer("for_user", {"user_id": "u000", "n": 50, "include_owned": True}, NOW)

    assert not owned & set(ids(usual))
    assert owned & set(ids(asked))


def test_a_customer_who_owns_everything_gets_an_empty_list() -> None:
    """Not an error, and nothing twice."""
    happened = [*events(), *(_event("u000", f"p{i:03d}", "purchase") for i in range(80))]

    answer = recommender(products(), happened).answer("for_user", {"user_id": "u000"}, NOW)

    assert answer["recommendations"] == []


def test_a_deleted_product_is_never_recommended_but_its_customers_are_still_understood() -> None:
    """What somebody liked about a product outlives the product."""
    fans = [_event(f"f{i}", product, "purchase", i) for i in range(30) for product in ("p001", "x")]
    happened = [*events(), *fans, _event("late", "x", "view", 61)]
    answerer = recommender([one for one in products() if one["id"] != "p005"], happened)

    late = answerer.answer("for_user", {"user_id": "late", "n": 50}, NOW)
    shown = {
        found
        for user in [*(f"u{i:03d}" for i in range(60)), "late", "nobody"]
        for found in ids(answerer.answer("for_user", {"user_id": user, "n": 50}, NOW))
    }

    assert late["basis"] == "history"
    assert ids(late)[0] == "p001"
    assert not {"x", "p005"} & shown
    with pytest.raises(NotFound, match="never recommended"):
        answerer.answer("similar", {"product_id": "p005"}, NOW)


def test_recent_customers_make_a_product_popular() -> None:
    """Last year's best seller is not what everybody wants now."""
    old = [_event(f"a{i}", "p000", "purchase", 0) for i in range(100)]
    new = [_event(f"b{i}", "p001", "purchase", 350) for i in range(60)]

    popular = recommender(products(), [*old, *new]).answer("popular", {"n": 2}, NOW)

    assert ids(popular) == ["p001", "p000"]


@pytest.mark.parametrize(
    ("question", "request_", "said"),
    [
        ("for_user", {}, "user_id: expected an id"),
        ("for_user", {"user_id": "u", "n": 51}, "n: expected a whole number from 1 to 50"),
        ("for_user", {"user_id": "u", "include_owned": "yes"}, "include_owned: expected true"),
        ("popular", {"user_id": "u"}, "unexpected"),
        ("predict", {"instances": [{"user_id": "u", "x": 1}]}, "'unexpected': ['x']"),
    ],
)
def test_a_wrong_request_is_told_what_was_expected_and_where(
    answerer: Answerer, question: str, request_: dict[str, Any], said: str
) -> None:
    """The message is a diff for whoever wrote the client."""
    with pytest.raises(RequestInvalid) as raised:
        answerer.answer(question, request_, NOW)

    assert said in str(raised.value)


# -- rows ------------------------------------------------------------------------------------------


def test_a_row_is_the_first_meeting_of_a_customer_and_an_approved_product() -> None:
    """Coming back to a product is not something a recommender could take credit for."""
    happened = [
        _event("u", "p001", "view", 1),
        _event("u", "p001", "purchase", 3),
        _event("u", "p002", "view", 2),
        _event("u", "gone", "view", 2),
    ]

    rows = rows_of(ProductRecommender({}), products(), happened)

    assert rows.n_rows == 2
    assert [str(day) for day in rows.day] == ["2026-09-02", "2026-09-03"]
    assert rows.slices.tolist() == ["Kitchen", "Garden"]


def test_what_was_returned_or_taken_out_of_the_cart_is_no_interest() -> None:
    """A shop's worst product would else look like its best one."""

    def event(kind: str, product: str, minute: int) -> dict[str, Any]:
        return {
            "user_id": "u",
            "product_id": product,
            "type": kind,
            "timestamp": f"2026-11-20T10:{minute:02}:00Z",
        }

    kept = [event("view", "p001", 0), event("purchase", "p002", 1), event("purchase", "p001", 9)]
    taken = [
        event("purchase", "p001", 2),
        event("refund", "p001", 5),
        event("add_to_cart", "p003", 3),
        event("remove_from_cart", "p003", 4),
        event("purchase", "p002", 6),
        event("order_cancelled", "p002", 7),
        event("return", "p004", 8),
    ]

    with_returns = rows_of(ProductRecommender({}), products(), [*kept, *taken])
    without = rows_of(ProductRecommender({}), products(), kept)

    assert with_returns.rejected == {TAKEN_BACK: 6, NOTHING_TO_TAKE_BACK: 1}
    seen, expected = with_returns.context, without.context
    columns = ("interest", "at_us", "is_bought")
    for name in columns:
        assert getattr(seen, name).tolist() == getattr(expected, name).tolist()


def test_records_that_cannot_be_used_are_counted_by_reason() -> None:
    """A tracker whose field was renamed must be told so, not served an empty answer."""
    workload = ProductRecommender({})
    odd = {"user_id": "u", "product_id": "p001", "type": "scrolled"}
    twice = _event("u", "p001")

    rows = rows_of(workload, [*products(), {"price": 3}], [odd, twice, twice])

    assert rows.rejected == {NO_NAME: 1, UNKNOWN_KIND: 1, CAME_TWICE: 1}
    assert workload.reject_reason("interactions", odd) == UNKNOWN_KIND
    assert workload.reject_reason("products", {"price": 3}) == NO_NAME
    assert workload.reject_reason("products", {"name": "x", "status": "draft"}) is None


def test_the_holdout_is_later_than_everything_that_was_learnt_from() -> None:
    """Neither rows nor the events that answers are made from may lie in the future of a row."""
    workload = ProductRecommender({})
    rows = rows_of(workload, products(), events())

    train, holdout = workload.split(rows)

    known = holdout.context.day[holdout.context.is_known]
    assert train.day.max() < holdout.day.min()
    assert known.max() < holdout.day.min()
    assert train.n_rows + holdout.n_rows == rows.n_rows
    assert rows.context.is_known.all()


def test_events_dated_in_the_future_count_when_they_were_written() -> None:
    """A phone with a wrong clock would otherwise hold the newest day for years."""
    ahead = {**_event("u", "p001"), "timestamp": "2040-01-01T00:00:00Z"}

    rows = rows_of(ProductRecommender({}), products(), [ahead])

    assert [str(day) for day in rows.day] == [str(NOW.date())]


# -- judging ---------------------------------------------------------------------------------------


def test_the_blend_is_learnt_and_beats_popularity() -> None:
    """Customers of this shop differ; a recommender that does not notice is not worth its name."""
    workload = ProductRecommender({})
    train, holdout = workload.split(rows_of(workload, products(), events(300)))

    blend = workload.fit(train, 0, no_progress)
    score, popular = workload.score(blend, holdout), workload.score_baseline(holdout)

    assert blend.n_learnt_from >= 200
    shares = (blend.content, blend.collaborative, blend.regression, blend.popularity)
    assert sum(shares) == pytest.approx(1)
    assert score.metrics["hit_rate_10"] > popular.metrics["hit_rate_10"] + 0.1
    found = {"hit_rate_10", "ndcg_10", "hit_rate_10_among_all", "ndcg_10_among_all", "coverage_10"}
    assert set(score.metrics) == found
    assert np.isin(score.loss, (0.0, 1.0)).all()


def test_a_blend_is_never_behind_its_own_best_part() -> None:
    """A blend that keeps a part because somebody once configured it answers worse than without."""
    workload = ProductRecommender({})
    train, _ = workload.split(rows_of(workload, products(), events(300)))
    known = train.context
    inner, user, item = ranking_test.held_back(workload._profiles(known), known, repeats=False)
    profiles = workload._profiles(inner)

    blend = ranking_test.learn(workload._default, profiles, inner, user, item, fades=True)

    def gain(one: Blend) -> float:
        ranks = ranking_test.rank(one, profiles, inner, user, item).among_all
        return float(np.mean(1 / np.log2(ranks + 2)))

    for part in ("content", "collaborative", "regression", "popularity"):
        shares = {"content": 0.0, "collaborative": 0.0, "regression": 0.0, "popularity": 0.0}
        alone = structs.replace(blend, **{**shares, part: 1.0})
        assert gain(blend) >= gain(alone) - 1e-6, part


def test_what_is_used_up_is_recommended_again_where_purchases_repeat() -> None:
    """A grocer's customer wants the milk of last week; a bookseller's wants another book."""
    happened = [
        _event(
            f"u{user:02d}", f"p{(3 * user + nth) % 60:03d}", "purchase", day=7 * week + user / 40
        )
        for week in range(8)
        for user in range(40)
        for nth in range(3)
    ] + [_event("u00", f"p{number:03d}", day=50) for number in range(60)]
    again, never = (
        recommender(products(60), happened, repeat_purchases=repeats) for repeats in (True, False)
    )

    usual = {f"p{number % 60:03d}" for number in (15, 16, 17)}
    shown = [ids(one.answer("for_user", {"user_id": "u05", "n": 3}, NOW)) for one in (again, never)]

    assert set(shown[0]) == usual
    assert not set(shown[1]) & usual
    without = again.answer("for_user", {"user_id": "u05", "n": 3, "include_owned": False}, NOW)
    assert not set(ids(without)) & usual


def test_items_are_regressed_on_each_other_as_the_method_says() -> None:
    """Against the closed form in 64 bits; an item of the few that do not take part has none."""
    rng = np.random.default_rng(0)
    met = (rng.random((90, 12)) < 0.3) | (np.arange(12) < 2)
    met[:, 11] = np.arange(90) < 2
    user, item = np.nonzero(met)
    inverse = np.linalg.inv(met[:, :11].T.astype(float) @ met[:, :11] + 45.0 * np.eye(11))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)

    found = regress_items(user, item, met.shape, 9, 11).toarray()

    assert np.allclose(found[:11], expected[:, :9], atol=1e-5)
    assert not found[11].any()
    assert not regress_items(user, item, met.shape, 9, 0).nnz


def test_with_little_data_the_configured_weights_stay() -> None:
    """Ten meetings would choose a corner by chance."""
    workload = ProductRecommender({"content_weight": 1, "collaborative_weight": 1})
    train, _ = workload.split(rows_of(workload, products(), events(12)))

    blend = workload.fit(train, 0, no_progress)

    assert blend.n_learnt_from == 0
    assert blend.content == pytest.approx(1 / 2.2)


def test_each_held_out_product_is_ranked_against_products_the_customer_never_met() -> None:
    """A product that was met after all would be a right answer counted as wrong."""
    workload = ProductRecommender({})
    _, holdout = workload.split(rows_of(workload, products(400), events(n_products=400)))
    interactions, user = holdout.context, holdout.features[:, 0].astype(np.int64)
    met = set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))

    others = ranking_test._others(interactions, user, holdout.target, repeats=False)

    assert others.shape == (holdout.n_rows, 100)
    for one, row in zip(user.tolist(), others.tolist(), strict=True):
        assert len(set(row)) == 100
        assert not {(one, item) for item in row[1:]} & met
    again = ranking_test._others(interactions, user, holdout.target, repeats=False)
    assert np.array_equal(others, again)


def test_newer_events_alone_are_promoted_at_once() -> None:
    """Histories must be fresh every morning; the blend alone is judged, on the same events."""
    workload = ProductRecommender({})
    champion = workload.fit(
        workload.split(rows_of(workload, products(), events(300)))[0], 0, no_progress
    )
    rows, verdict = check_data(
        rows_of(workload, products(), [*events(300), *events(40, seed=9)]),
        GateSettings(),
        features=workload.features,
        n_records=3000,
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

    decided = decide(evaluation, GateSettings(), before=verdict.gates)

    assert isinstance(decided, Promote), decided.gates[-1].sentence


# -- store and load --------------------------------------------------------------------------------


def test_a_stored_and_loaded_version_answers_every_golden_request_alike() -> None:
    """Same answers after a restart: everything that they need is in the version."""
    workload = ProductRecommender({})
    rows = rows_of(workload, products(), events())
    estimator = workload.fit(workload.split(rows)[0], 0, no_progress)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)

    trained = workload.open(estimator, workload.state(rows))
    loaded = workload.open(joblib.load(file), workload.state(rows))

    goldens = workload.golden_requests(rows)
    assert {golden.question for golden in goldens} == set(loaded.questions)
    for golden in goldens:
        sent = msgspec.json.decode(msgspec.json.encode(golden.request))
        answer = trained.answer(golden.question, golden.request, golden.now)
        assert loaded.answer(golden.question, sent, golden.now) == answer
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


def test_the_same_documents_give_the_same_bytes_and_the_same_blend() -> None:
    """A run that cannot be repeated cannot be explained."""
    workload = ProductRecommender({})

    versions = []
    for _ in range(2):
        rows = rows_of(workload, products(), events())
        versions.append(
            (workload.state(rows), workload.fit(workload.split(rows)[0], 0, no_progress))
        )

    assert versions[0] == versions[1]


def test_what_serves_scores_as_what_was_judged() -> None:
    """Training multiplies sparse matrices, serving adds up lists: one must be the other."""
    workload = ProductRecommender(PARTS)
    rows = rows_of(workload, products(), events())
    interactions = rows.context
    blend = Blend(0.2, 0.2, 0.1, 0, 0.3, 0.2, recent=0.5, lasting=0.2, half_life=10.0)
    profiles = workload._profiles(interactions)
    parts = profiles.parts(np.arange(len(interactions.users)), blend)
    judged = blend.scores(parts, blend.popularity_of(profiles.popularity, profiles.recent))

    served = workload.open(blend, workload.state(rows))

    assert isinstance(served, Recommendations)
    for place, user in enumerate(served._serving_state.users):
        assert np.allclose(served.scores(place), judged[interactions.users.index(user)], atol=1e-5)


def test_a_version_is_bounded_in_customers_and_in_the_length_of_a_history() -> None:
    """A version travels to every worker; a shop's whole past does not have to."""
    busy = [_event("busy", f"p{i:03d}", "purchase", i) for i in range(60)]
    workload = ProductRecommender({"max_users": 10, "max_history": 5})
    answerer = opened(workload, rows_of(workload, products(), [*events(), *busy]))

    assert isinstance(answerer, Recommendations)
    assert len(answerer._serving_state.users) == 10
    assert "busy" in answerer._serving_state.users
    assert np.diff(answerer._serving_state.history.start).max() == 5
    answer = answerer.answer("for_user", {"user_id": "busy", "n": 50}, NOW)
    assert not {f"p{i:03d}" for i in range(60)} & set(ids(answer))


@pytest.mark.parametrize("name", ["state.json", "state.npz", "state.users.json"])
def test_a_damaged_state_is_refused_at_loading_with_a_sentence(name: str) -> None:
    """What fails at loading leaves the old version serving; what fails later fails a client."""
    workload = ProductRecommender({})
    state = dict(workload.state(rows_of(workload, products(), events(10))))

    for damage in (b"{", None):
        broken = {key: value for key, value in state.items() if key != name or damage}
        if damage:
            broken[name] = damage
        with pytest.raises(LoadFailed, match=name):
            workload.open(ONLY_POPULAR, broken)


def test_state_of_another_catalogue_is_refused() -> None:
    """Places that point past the end would show the wrong product, or none."""
    workload = ProductRecommender({})
    state = dict(workload.state(rows_of(workload, products(), events(10))))
    state["state.json"] = workload.state(rows_of(workload, products(20), events(10)))["state.json"]

    with pytest.raises(LoadFailed, match=r"expected 20"):
        workload.open(ONLY_POPULAR, state)


_events = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(["a", "b", "c"]) | st.integers(0, 3),
            "product_id": st.sampled_from(["p000", "p001", "p002", "gone", 7]),
        },
        optional={
            "type": st.sampled_from(["view", "purchase", "rate", "cart", "refund"]),
            "rating": st.integers(0, 6) | st.text(max_size=2),
            "timestamp": st.integers(0, 10**13) | st.text(max_size=4) | st.none(),
            "dwell_time": st.floats() | st.none(),
        },
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(happened=_events, n_products=st.integers(0, 6))
def test_any_events_are_trained_or_said_to_be_too_few(
    happened: list[dict[str, Any]], n_products: int
) -> None:
    """A new shop has three customers, one product and a tracker that is not quite right."""
    workload = ProductRecommender({})
    rows = rows_of(workload, products(n_products), happened)
    train, holdout = workload.split(rows)

    if train.n_rows and holdout.n_rows:
        blend = workload.fit(train, 0, no_progress)
        loss = np.concatenate(
            [workload.score(blend, holdout).loss, workload.score_baseline(holdout).loss]
        )
        assert np.isin(loss, (0.0, 1.0)).all()
    if rows.n_rows:
        answerer = workload.open(ONLY_POPULAR, workload.state(rows))
        for golden in workload.golden_requests(rows):
            answer = answerer.answer(golden.question, golden.request, golden.now)
            shown = Counter(ids(answer)) if "recommendations" in answer else Counter()
            assert max(shown.values(), default=1) == 1


def test_a_table_of_other_streams_only_gives_no_rows() -> None:
    """No event yet is a first day, and the gate says so; nothing raises."""
    workload = ProductRecommender({})

    rows = workload.training_set(
        {"products": table("products", products()), "interactions": table("interactions", [])}
    )

    assert (rows.n_rows, workload.split(rows)[1].n_rows) == (0, 0)
    assert rows.features.shape == (0, 1)
