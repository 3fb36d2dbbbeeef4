"""One model for each device: opened when asked for, closed when there is no room."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from shared.versions.manifest import MODEL_NAME
from tests.support.api_process import ApiHome
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

N_MODELS = 40


def fleet(home: ApiHome, n: int = N_MODELS, **estimator: object) -> list[str]:
    names = [f"fleet/d{i:03d}" for i in range(n)]
    for name in names:
        home.publish(name, 1, **estimator)
    return names


def predict(home: ApiHome, name: str) -> tuple[int, dict[str, object]]:
    return home.ask("POST", f"/models/{name}/predict", {"instances": [{"x": 1.0}]})


def test_a_model_is_opened_by_its_first_request_and_follows_its_signal(tmp_path: Path) -> None:
    """Thousands that nobody asks for cost nothing; the one that is asked for is as any other."""
    home = ApiHome(tmp_path, api="preload = 3")
    names = fleet(home)

    with home.running() as process:
        status, health = home.get("/health")
        assert (status, health["status"]) in {(200, "ok"), (200, "degraded")}
        assert health["models_idle"] == N_MODELS
        assert home.get("/readyz")[0] == 200
        assert all(not report.models.get(names[0]) for report in home.workers())

        status, listed = home.get("/models?limit=2&offset=1")
        entry = listed["models"][0]
        assert listed["total"] == N_MODELS + 1
        assert (entry["name"], entry["loaded"], entry["state"]) == (names[1], False, "promoted")

        for name in names[:5]:
            status, answer = predict(home, name)
            assert (status, answer["model"], answer["number"]) == (200, name, 1)
        home.publish(names[0], 2)
        home.publish(names[9], 2)
        wait_until(lambda: predict(home, names[0])[1]["number"] == 2, 20, "the new version")
        assert predict(home, names[9])[1]["number"] == 2, "opened by what is wanted now"
        assert process.stop() == 0


def test_a_large_and_a_broken_model_hold_up_nobody_else(tmp_path: Path) -> None:
    """A neighbour's trouble is the neighbour's."""
    home = ApiHome(tmp_path, workers=1, api="preload = 3")
    names = fleet(home, 8)
    home.publish("fleet/slow", 1, load_s=3.0)
    bad = home.publish("fleet/broken", 1)
    (home.store.version_dir("fleet/broken", bad) / MODEL_NAME).write_bytes(b"damaged")

    with home.running():
        answers: list[tuple[int, float]] = []
        asked = time.monotonic()

        def ask_slow() -> None:
            status, _ = predict(home, "fleet/slow")
            answers.append((status, time.monotonic() - asked))

        slow = threading.Thread(target=ask_slow)
        slow.start()
        for name in names:
            assert predict(home, name)[0] == 200
        took_s = time.monotonic() - asked
        status, problem = predict(home, "fleet/broken")
        assert status == 503
        assert "SHA-256" in str(problem) or "bytes" in str(problem)
        assert not answers, "the others did not wait for the slow one"
        assert took_s < 2.5
        slow.join(20)
        assert answers[0][0] == 200
        _, health = home.get("/health")
        assert any("fleet/broken" in sentence for sentence in health["problems"])
        assert not any("d00" in sentence for sentence in health["problems"])


def test_beyond_the_budget_the_longest_unused_are_closed(tmp_path: Path) -> None:
    """The memory of a worker has an end; what is asked for often stays open."""
    home = ApiHome(tmp_path, workers=1, api="preload = 3\nmemory_budget_mb = 2")
    names = fleet(home)

    with home.running():
        for name in names:
            assert predict(home, name)[0] == 200
            assert predict(home, names[0])[0] == 200  # asked all the time

        def n_open() -> int:
            _, listed = home.get("/models?limit=100")
            return sum(entry["loaded"] for entry in listed["models"])

        assert 5 <= n_open() <= 14
        _, listed = home.get("/models?limit=100")
        is_open = {entry["name"]: entry["loaded"] for entry in listed["models"]}
        assert is_open[names[0]]
        assert is_open[names[-1]]
        assert not is_open[names[1]]
        assert predict(home, names[1])[0] == 200, "closed is not gone"
        (report,) = home.workers()
        assert report.n_idle >= N_MODELS - 14
