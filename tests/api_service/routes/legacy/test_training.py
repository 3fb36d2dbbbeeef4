"""`POST /train` of a program on this machine: no key, an answer at once, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.workloads.product_similarity.workload import ProductSimilarity
from tests.api_service.conftest import serving_config
from tests.api_service.routes.test_aliases import key, serving_of
from tests.shared.workloads.shop import products, rows_of
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome


def test_a_shops_helper_is_answered_at_once_with_the_number_of_products(home: ServingHome) -> None:
    """One line in its back end, without a key and without a body."""
    before: Any = serving_of(home).client().post("/train").json
    rows = rows_of(ProductSimilarity({}), products(30))
    publish_products(home, "alike", "product_similarity", 1, rows)

    answer = serving_of(home).client().post("/train", json={})

    assert before["products_count"] == 0
    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["success"], answer.json["products_count"]) == (True, 30)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:5000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://evil.example/page"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "203.0.113.9"},
        {"Host": "models.example.org"},
        {"Host": "192.0.2.7:5000"},
    ],
)
def test_nobody_but_a_program_of_this_machine_gets_in_without_a_key(
    home: ServingHome, headers: dict[str, str]
) -> None:
    """Neither a web page in a browser here, nor a client behind a proxy here."""
    serving = serving_of(home)
    client = serving.client()

    refused = client.post("/train", headers=headers)
    forged = client.post("/train", headers={"Host": "evil.example"})

    assert refused.status_code == 401
    assert forged.status_code == 421
    assert not serving.config.requests_dir.exists()
    with_key = client.post("/train", headers={**headers, **key(serving)})
    assert with_key.status_code in (202, 400)  # 400: a form is no JSON, whoever sends it


def test_a_setting_closes_it(home: ServingHome) -> None:
    """Where many people work on one machine."""
    serving = serving_of(home)
    serving.config = replace(serving.config, train_without_key=False)

    assert serving.client().post("/train").status_code == 401
    assert serving.client().post("/train", headers=key(serving)).status_code == 202


@pytest.mark.parametrize("change", ["all keys", "another address"])
def test_off_loopback_and_where_all_need_keys_it_is_closed(home: ServingHome, change: str) -> None:
    """Whatever the setting says."""
    serving = serving_of(home)
    if change == "all keys":
        serving.config = replace(serving.config, require_keys="always")
    else:
        address = serving_config(home.path, host="192.0.2.1").address
        serving.config = replace(serving.config, address=address)

    assert serving.client().post("/train").status_code == 401


@pytest.mark.parametrize("asked", ["/train?wait=1", "/train?wait=true"])
def test_who_waits_needs_the_admins_key_here_as_well(home: ServingHome, asked: str) -> None:
    """It trains at once, past every brake."""
    assert serving_of(home).client().post(asked).status_code == 401
