"""The paths that shops call: which model answers, what an answer names, what a mistake is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.workloads.product_recommender.workload import ProductRecommender
from shared.workloads.product_similarity.workload import ProductSimilarity
from tests.api_service.conftest import Serving, serving_config
from tests.shared.workloads.shop import events, ids, products, rows_of
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome

WORKLOADS = {"goods": "product_recommender", "alike": "product_similarity", "m": "tiny"}


def _publish_recommender(home: ServingHome, number: int, catalogue: list[Any]) -> str:
    rows = rows_of(ProductRecommender({}), catalogue, events())
    return publish_products(home, "goods", "product_recommender", number, rows)


def _publish_similarity(home: ServingHome, number: int, catalogue: list[Any]) -> str:
    rows = rows_of(ProductSimilarity({}), catalogue)
    return publish_products(home, "alike", "product_similarity", number, rows)


def _serving(home: ServingHome, default_model: str = "", **workloads: str) -> Serving:
    config = serving_config(home.path, default_model=default_model)
    serving = Serving(home, replace(config, workloads=workloads or WORKLOADS))
    serving.tick()
    return serving


@pytest.fixture
def client(home: ServingHome) -> FlaskClient:
    home.publish("m", 7)
    _publish_recommender(home, 3, products())
    return _serving(home).client()


@pytest.mark.parametrize(
    "path",
    [
        "/recommendations/product/p003?n=4",
        "/recommendations/user/u001?n=4",
        "/recommendations/popular?n=4",
    ],
)
def test_an_answer_names_the_version_and_the_data_it_came_from(
    client: FlaskClient, path: str
) -> None:
    """A shop that keeps what it showed can say later why."""
    answer = client.get(path)

    assert answer.status_code == 200
    found: Any = answer.json
    assert len(found["recommendations"]) == found["total"] == 4
    assert found["model"] == "goods"
    assert found["version"] == "v000003-20261101T110000Z"
    assert found["trained_at"] == "2026-11-01T11:00:00Z"
    assert found["watermark"] == "2026-11-01T08:00:00Z"


def test_a_stranger_gets_what_is_popular_with_status_200(client: FlaskClient) -> None:
    """The page of a first visitor must not be built from an error."""
    stranger: Any = client.get("/recommendations/user/never%20seen?n=3").json
    popular: Any = client.get("/recommendations/popular?n=3").json

    assert stranger["basis"] == "popularity"
    assert stranger["recommendations"] == popular["recommendations"]


@pytest.mark.parametrize(
    ("path", "status", "saying"),
    [
        ("/recommendations/product/none", 404, "the next training brings it"),
        ("/recommendations/product/p003?n=0", 400, "n: expected a whole number from 1 to 50"),
        ("/recommendations/product/p003?n=many", 400, "found 'many'"),
        ("/recommendations/product/p003?count=5", 400, "only the query parameters n, model"),
        ("/recommendations/user/u001?include_owned=perhaps", 400, "expected true or false"),
        ("/recommendations/popular?model=none", 404, "no model 'none'"),
        ("/recommendations/popular?model=m", 404, "does not answer 'popular'"),
    ],
)
def test_a_mistake_is_told_what_was_expected(
    client: FlaskClient, path: str, status: int, saying: str
) -> None:
    """The sentence is for somebody with a browser and no source code."""
    answer = client.get(path)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert saying in answer.get_data(as_text=True)


def test_owned_products_come_back_only_when_asked(client: FlaskClient) -> None:
    """`include_owned` reaches the workload as a boolean."""
    usual: Any = client.get("/recommendations/user/u002?n=50").json
    asked: Any = client.get("/recommendations/user/u002?n=50&include_owned=true").json

    assert set(ids(usual)) != set(ids(asked))


def test_of_two_models_that_can_answer_the_default_does_else_one_that_serves(
    home: ServingHome,
) -> None:
    """Both workloads know similar products; a model that has no version yet must not hide one
    that has."""
    _publish_similarity(home, 5, products())
    recommender_is_untrained = _serving(home).client()
    early: Any = recommender_is_untrained.get("/recommendations/product/p003").json
    too_early = recommender_is_untrained.get("/recommendations/popular")

    _publish_recommender(home, 3, products())
    with_default: Any = _serving(home, "goods").client().get("/recommendations/product/p003").json
    named: Any = (
        _serving(home, "goods").client().get("/recommendations/product/p003?model=alike").json
    )

    assert early["model"] == "alike"
    assert too_early.status_code == 503
    assert with_default["model"] == "goods"
    assert named["model"] == "alike"


def test_without_such_a_model_the_answer_says_which_workload_is_missing(home: ServingHome) -> None:
    """A route without a model behind it is a configuration, not a broken server."""
    home.publish("m", 7)

    answer = _serving(home, m="tiny").client().get("/recommendations/popular")

    assert answer.status_code == 404
    assert "none has the workload product_recommender" in answer.get_data(as_text=True)


def test_a_deleted_product_is_gone_with_the_swap(home: ServingHome) -> None:
    """And an id that holds a slash is an id like any other."""
    catalogue = [*products(), {**products()[0], "id": "lamps/12"}]
    _publish_similarity(home, 5, catalogue)
    serving = _serving(home, alike="product_similarity")
    before: Any = serving.client().get("/recommendations/product/p000?n=50").json

    _publish_similarity(home, 6, products())
    serving.tick()
    after: Any = serving.client().get("/recommendations/product/p000?n=50").json
    gone = serving.client().get("/recommendations/product/lamps/12")

    assert ids(before)[0] == "lamps/12"
    assert "lamps/12" not in ids(after)
    assert after["version"].startswith("v000006")
    assert gone.status_code == 404
