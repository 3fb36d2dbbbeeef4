"""Problems have codes: the console's advice and programs follow them, never a sentence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from api_service.config.release import RELEASE
from api_service.console.views.hints import what_to_do
from api_service.status.problem_codes import ProblemCode
from shared.exchange.worker_report import WatcherReport
from tests.api_service.conftest import Serving
from tests.api_service.routes.test_health import (
    healthy,
    source_report,
    write_retrain_report,
    write_worker_report,
)
from tests.support.versions import ServingHome

ROOT = Path(__file__).parents[3]

# The sentence says all that there is to do.
SAYS_IT_ITSELF = {
    ProblemCode.SIGNAL_WENT_BACK,
    ProblemCode.OTHER_VERSION_SERVED,
    ProblemCode.WORKER_TROUBLE,
    ProblemCode.RELOAD_LOOP_STUCK,
    ProblemCode.RETRAIN_NOT_RUNNING,
    ProblemCode.RETRAIN_SILENT,
}


@pytest.mark.parametrize("code", list(ProblemCode))
def test_every_problem_says_what_to_do_and_is_in_the_handbook(code: ProblemCode) -> None:
    """Who looks once a month does not know the next step; a program needs the list."""
    handbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert bool(what_to_do(code)) != (code in SAYS_IT_ITSELF)
    assert re.search(rf"^\|.*`{code}`.*\|", handbook, re.MULTILINE)


def test_each_problem_of_health_has_its_code(home: ServingHome, serving: Serving) -> None:
    """Whatever the sentences say: here each holds the words of another problem."""
    healthy(home, serving)
    confusing = "training of a model that is quarantined: no directory events"
    write_retrain_report(
        serving, sources=[source_report("misconfigured", confusing)], error=confusing
    )
    write_worker_report(serving, watcher=WatcherReport(is_well=False, sentence=confusing))

    health: Any = serving.client().get("/health").json

    assert health["problem_codes"] == [
        "no_directory_events",
        "source_misconfigured",
        "training_error",
    ]
    assert len(health["problems"]) == 3
    assert all(confusing in problem for problem in health["problems"])


def test_a_model_that_serves_something_else_says_why_by_a_code(
    home: ServingHome, serving: Serving
) -> None:
    """A broken version and a lost signal need different hands."""
    healthy(home, serving)
    home.publish("m", 2, broken="load")
    serving.tick()
    serving.tick()
    write_worker_report(serving)
    broken: Any = serving.client().get("/health").json

    home.store.signal_path("m").unlink()
    serving.tick()
    write_worker_report(serving)
    lost: Any = serving.client().get("/health").json

    assert broken["problem_codes"] == ["version_quarantined"]
    assert lost["problem_codes"] == ["signal_missing"]
    assert lost["models"][0]["degraded_code"] == "signal_missing"


def test_every_part_of_the_api_names_the_same_release(serving: Serving) -> None:
    """Metrics, the protocol, the document and the package."""
    client = serving.client()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    document: Any = client.get("/openapi.json").json
    protocol: Any = client.get("/v2").json

    assert project["project"]["version"] == RELEASE
    assert document["info"]["version"] == RELEASE
    assert protocol["version"] == RELEASE
    assert f'version="{RELEASE}"' in client.get("/metrics").get_data(as_text=True)
