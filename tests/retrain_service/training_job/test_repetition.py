"""When a run would be one more of the same: the inputs alone do not say, the verdict counts too."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from retrain_service.trainer.job_spec import JobSpec
from retrain_service.training_job.repetition import repeated_run
from shared.exchange.reload_signal import ReloadSignal
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from tests.support.versions import version_name

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAME = {"inputs_digest": "same", "base_generation": 4}


class Spec:
    """The two facts of a job's description that count here."""

    model = "m"
    inputs_digest = "same"
    base_generation = 4


@pytest.mark.parametrize(
    ("served_digest", "last", "expected"),
    [
        ("other", SAME, "last"),
        # Held or released, rolled back or reloaded since: the verdict may be another one.
        ("other", {**SAME, "base_generation": 3}, None),
        ("other", {**SAME, "inputs_digest": "other"}, None),
        ("other", {"inputs_digest": "same"}, None),  # by a release that did not write it down
        # What is served came of the same inputs, whatever happened since.
        ("same", {"inputs_digest": "other", "base_generation": 1}, "served"),
        # Patience runs out by the calendar: what could not be decided is tried again.
        ("other", {**SAME, "gates": [{"verdict": "insufficient_data"}]}, None),
        ("other", {**SAME, "gates": [{"verdict": "failed"}]}, "last"),
    ],
)
def test_a_run_is_skipped_only_where_candidate_and_verdict_would_be_the_same(
    tmp_path: Path, served_digest: str, last: dict[str, Any], expected: str | None
) -> None:
    """hold, train, release, train: the second was skipped for a run that was never published."""
    signal = ReloadSignal(
        generation=4,
        version=version_name(1),
        manifest_sha256="",
        previous=None,
        reason="",
        promoted_at=NOW,
    )
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        for number, (run_id, details) in enumerate(
            [("served", {"inputs_digest": served_digest}), ("last", last)], start=1
        ):
            version = version_name(number)
            log.add_run(Run(run_id, "m", "every", "", version, number, RunStatus.QUEUED, NOW))
            log.finish_run(run_id, NOW, RunStatus.SUCCEEDED, details=details)

        assert repeated_run(cast(JobSpec, Spec()), signal, log) == expected
