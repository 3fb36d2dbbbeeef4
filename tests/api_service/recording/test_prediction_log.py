"""A sample of answers reaches the log by every route, and nothing about the log a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from api_service.app import create_app
from api_service.config.prediction_log import PredictionLogConfig
from api_service.context import Context
from api_service.recording.prediction_log import PredictionLog
from shared.prediction_log.frames import LoggedAnswer
from shared.prediction_log.reader import read_all
from tests.api_service.conftest import NOW, Serving
from tests.support.versions import ServingHome

ROWS = {"instances": [{"x": 1.0}, {"x": 2.0}]}
MATRIX = {"name": "rows", "datatype": "FP64", "shape": [2, 1], "data": [1.0, 2.0]}
COLUMN = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}
TEXT = {
    "name": "request",
    "datatype": "BYTES",
    "shape": [1],
    "data": ['{"instances":[{"x":1.0},{"x":2.0}]}'],
}


class Logging:
    """An application that logs, and what stands in its log."""

    def __init__(self, serving: Serving, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.log = PredictionLog(PredictionLogConfig(directory, **{"per_second": 50, **settings}))
        context = Context(
            serving.config,
            serving.table,
            serving.store,
            serving.ring,
            lambda: NOW,
            prediction_log=self.log,
        )
        self.app = create_app(context)

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def logged(self) -> list[LoggedAnswer]:
        self.log.flush()
        return list(read_all(self.directory))


@pytest.fixture
def serving(home: ServingHome, serving: Serving) -> Serving:
    home.publish("m", 7)
    serving.tick()
    return serving


@pytest.mark.parametrize(
    ("path", "body", "has_hook"),
    [
        ("/models/m/predict", ROWS, False),
        ("/models/m/predict", ROWS, True),
        ("/models/m/predict", {**ROWS, "instances": [{"x": 1}, {"x": 2.0}]}, False),
        ("/v2/models/m/infer", {"inputs": [MATRIX]}, False),
        ("/v2/models/m/infer", {"inputs": [COLUMN]}, False),
        ("/v2/models/m/infer", {"inputs": [TEXT]}, False),
    ],
)
def test_every_protocol_logs_the_same_rows_and_the_same_answers(
    serving: Serving, tmp_path: Path, path: str, body: dict[str, Any], has_hook: bool
) -> None:
    """Who reads the log need not know by which way a request came."""
    logging = Logging(serving, tmp_path / "log")
    if has_hook:  # Flask answers then, and not the fast path
        logging.app.before_request(lambda: None)

    answer = logging.client().post(path, json=body)

    assert answer.status_code == 200
    (logged,) = logging.logged()
    live = serving.table.slot("m").current()
    assert live is not None
    assert (logged.model, logged.version, logged.generation) == ("m", live.version, live.generation)
    assert logged.question == "predict"
    assert logged.at_us == int(NOW.timestamp()) * 1_000_000
    assert msgspec.json.decode(logged.request) == ROWS
    expected = live.answerer.answer("predict", ROWS, NOW)
    found = msgspec.json.decode(logged.answer)
    assert {name: found[name] for name in expected} == expected
    assert 0 <= logged.latency_s < 600


def test_the_rate_is_kept_and_what_is_refused_is_not_logged(
    serving: Serving, tmp_path: Path
) -> None:
    """The log costs the same however much is asked; a rate of none costs nothing."""
    logging = Logging(serving, tmp_path / "log", per_second=1e-6)
    client = logging.client()
    client.post("/models/m/predict", json={"instances": [{"y": 1}]})
    for _ in range(5):
        client.post("/models/m/predict", json=ROWS)
    off = PredictionLog(PredictionLogConfig())

    assert len(logging.logged()) == 1
    assert not off.is_due("m")


def test_a_disk_that_refuses_ends_no_request_and_is_said_until_it_takes_again(
    serving: Serving, tmp_path: Path
) -> None:
    """Answers matter more than the log."""
    in_the_way = tmp_path / "log"
    in_the_way.write_text("a file where the folder should be")
    logging = Logging(serving, in_the_way)

    assert logging.client().post("/models/m/predict", json=ROWS).status_code == 200
    logging.log.flush()

    assert logging.log.error
    assert logging.log.counts == {"dropped": 1}

    in_the_way.unlink()
    logging.client().post("/models/m/predict", json=ROWS)

    assert len(logging.logged()) == 1
    assert logging.log.error is None


def test_columns_that_are_left_out_are_in_no_file(serving: Serving, tmp_path: Path) -> None:
    """What must not be kept is not kept for a moment either."""
    logging = Logging(serving, tmp_path / "log", left_out=("x",), hashed=("predictions",))
    logging.client().post("/models/m/predict", json={"instances": [{"x": 123456.0}]})

    (logged,) = logging.logged()

    assert msgspec.json.decode(logged.request) == {"instances": [{}]}
    assert "predictions" not in msgspec.json.decode(logged.answer)
    assert b"123456" not in b"".join(path.read_bytes() for path in logging.directory.iterdir())
