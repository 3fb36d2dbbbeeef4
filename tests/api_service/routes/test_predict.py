"""Questions to models: answers that name their version, errors that name their place."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.api_service.conftest import Serving, serving_config
from tests.support.versions import ServingHome


@pytest.fixture
def served(home: ServingHome, serving: Serving) -> Serving:
    home.publish("m", 7)
    home.publish("m/device-1", 3)
    serving.tick()
    return serving


def test_an_answer_names_the_one_version_that_gave_it(served: Serving) -> None:
    """Whoever keeps an answer can say later which model and which data it came from."""
    answer = served.client().post("/models/m/predict", json={"instances": [{"x": 1}, {"x": 2}]})

    assert answer.status_code == 200
    assert answer.json == {
        "predictions": [7, 7],
        "number": 7,
        "model": "m",
        "version": "v000007-20261101T150000Z",
        "generation": 1,
        "trained_at": "2026-11-01T15:00:00Z",
        "fitted_until": "2026-10-31T23:59:59.999999Z",
        "watermark": "2026-11-01T08:00:00Z",
    }


ROWS = b'{"instances": [{"x": 1}]}'
PACKED = gzip.compress(ROWS)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(PACKED, "gzip", 200, id="packed"),
        pytest.param(b"\xef\xbb\xbf" + ROWS, "", 200, id="marked"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + ROWS), "GZIP", 200, id="marked and packed"),
        pytest.param(gzip.compress(ROWS[:9]) + gzip.compress(ROWS[9:]), "gzip", 200, id="members"),
        pytest.param(PACKED[:-9], "gzip", 400, id="cut"),
        pytest.param(PACKED + b"more", "gzip", 400, id="more behind it"),
        pytest.param(PACKED, "br", 400, id="unknown encoding"),
    ],
)
def test_bodies_come_as_clients_send_them(
    served: Serving, body: bytes, encoding: str, status: int
) -> None:
    """Many clients pack all that is large; PowerShell and Excel write a byte order mark."""
    headers = {"Content-Encoding": encoding} if encoding else {}

    answer = served.client().post("/models/m/predict", data=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert status == 200 or "expected" in answer.text


def test_a_model_of_an_entity_is_asked_under_its_whole_name(served: Serving) -> None:
    """The slash is part of the name, encoded or not."""
    for path in ("/models/m/device-1/predict", "/models/m%2Fdevice-1/predict"):
        answer = served.client().post(path, json={})

        assert answer.json is not None
        assert answer.json["model"] == "m/device-1"
        assert answer.json["number"] == 3


def test_predict_without_a_name_asks_the_default_model(home: ServingHome) -> None:
    """With several models the default must be said; it is never guessed."""
    home.publish("m", 7)
    home.publish("other", 3)
    with_default = Serving(home, serving_config(home.path, default_model="other"))
    without = Serving(home, serving_config(home.path))
    with_default.tick()
    without.tick()

    answer = with_default.client().post("/predict", json={})
    refused = without.client().post("/predict", json={})

    assert answer.json is not None
    assert answer.json["model"] == "other"
    assert refused.status_code == 404
    assert "m, other" in refused.get_data(as_text=True)


@pytest.mark.parametrize(
    ("body", "status", "where", "saying"),
    [
        (b"", 400, "body", "an empty body"),
        (b"[1]", 400, "body", "a JSON object"),
        (b'{"a": 1,\n "b" 2}', 400, "body, line 2, column 6", "expected ':'"),
        (b'{"a": NaN}', 400, "body, line 1, column 7", "invalid"),
        (b'{"a": 1} x', 400, "body, line 1, column 11", "trailing"),
        (b"[" * 9_000, 400, "body", "nested"),
        (b'{"a": "\xff"}', 400, "body", "utf"),
        (b'{"a": ', 400, "end of body", "truncated"),
        (b'{"instances": [{"y": 1}]}', 400, "instances[0]", "missing"),
        (b'{"instances": [{"x": "1"}]}', 400, "instances[0].x", "a number or null"),
        (b'{"instances": []}', 400, "instances", "at least one"),
    ],
)
def test_a_wrong_request_is_told_what_was_expected_and_where(
    served: Serving, body: bytes, status: int, where: str, saying: str
) -> None:
    """The sentence is for somebody with a terminal and no source code."""
    answer = served.client().post("/models/m/predict", data=body)

    problem: Any = answer.json
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert problem["where"] == where
    assert saying.lower() in problem["detail"].lower()
    assert problem["type"].startswith("urn:hotfit:problem:")
    assert problem["status"] == status


@pytest.mark.parametrize(
    ("method", "path", "status", "saying"),
    [
        ("GET", "/nothing", 404, "no route GET /nothing"),
        ("GET", "/predict", 405, "it takes OPTIONS, POST"),
        ("GET", "/models/m/predict", 405, "it takes OPTIONS, POST"),
        ("POST", "/models/none/predict", 404, "there is m, m/device-1"),
        ("POST", "/models/../predict", 404, "no model '..'"),
        ("POST", "/models/m", 405, "it takes GET"),
    ],
)
def test_unknown_routes_and_models_name_what_there_is(
    served: Serving, method: str, path: str, status: int, saying: str
) -> None:
    """A dead end should show the way."""
    answer = served.client().open(path, method=method, data=b"{}")

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert saying in answer.get_data(as_text=True)


def test_a_body_that_is_too_large_is_413(served: Serving) -> None:
    """One client must not fill the memory of all."""
    answer = served.client().post("/models/m/predict", data=b" " * 10_001)

    assert answer.status_code == 413
    assert "10000 bytes (api.max_request_bytes)" in answer.get_data(as_text=True)


def test_a_model_without_a_version_is_503_with_the_reason(serving: Serving) -> None:
    """Configured and not yet trained is not the client's mistake."""
    serving.tick()

    answer = serving.client().post("/models/m/predict", json={})

    assert answer.status_code == 503
    assert "no version has been promoted yet" in answer.get_data(as_text=True)


def test_a_defect_is_500_without_its_insides(served: Serving) -> None:
    """The log has the traceback under a mark; the client gets the mark."""
    answer = served.client().post("/models/m/predict", json={"raise": True})

    assert answer.status_code == 500
    assert answer.content_type == "application/problem+json"
    assert "ZeroDivisionError" not in answer.get_data(as_text=True)
    assert served.table.slot("m").n_failed == 1


def test_the_spare_parts_questions_go_to_the_model_that_knows_them(served: Serving) -> None:
    """Existing clients call these paths and know no model names."""
    client = served.client()

    forecast = client.post("/forecast_restock_demand", json={"forecast_days": 9})
    parts = client.get("/parts?model=m/device-1")
    wrong = client.post("/forecast_restock_demand", json={"forecast_days": 91})

    assert forecast.json is not None
    assert forecast.json["forecast_period_days"] == 9
    assert forecast.json["version"] == served.version()
    assert parts.json is not None
    assert parts.json["parts"] == ["part 3"]
    assert wrong.status_code == 400
    assert "1 to 90" in wrong.get_data(as_text=True)
    assert client.get("/parts?model=none").status_code == 404


def test_a_swap_between_two_requests_changes_everything_an_answer_names(
    home: ServingHome, served: Serving
) -> None:
    """Prediction, version and generation come from one object and change together."""
    client = served.client()
    home.publish("m", 8)
    served.tick()

    answer = client.post("/models/m/predict", json={})

    assert answer.json is not None
    assert (answer.json["number"], answer.json["generation"]) == (8, 2)
    assert answer.json["version"].startswith("v000008")
