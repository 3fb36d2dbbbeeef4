"""The trial gate: the trial load of a staged version must succeed within its limits. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from retrain_service.promotion.gate_result import GateResult
from shared.loading.trial_load import TrialResult
from shared.settings.per_model import GateSettings


def judge_trial(tried: TrialResult, policy: GateSettings) -> Iterator[GateResult]:
    """One line for the trial itself, then one for each limit; what was not measured fails."""
    n = tried.n_goldens
    if tried.error is not None:
        yield GateResult("trial", None, None, n, "failed", f"trial load: {tried.error}")
        return
    sentence = f"a fresh process opened it and answered {n} golden requests as the trainer did."
    yield GateResult("trial", None, None, n, "passed", sentence)
    load_s = sum(tried.timings_ms.values()) / 1e3 if tried.timings_ms else None
    yield _limit("load_time", load_s, policy.max_load_s, "s", "max_load_s", n)
    yield _limit("memory", tried.memory_mb, policy.max_memory_mb, "MB", "max_memory_mb", n)
    yield _limit("file_size", tried.size_mb, policy.max_size_mb, "MB", "max_size_mb", n)
    yield _limit("latency", tried.latency_ms, policy.max_latency_ms, "ms", "max_latency_ms", n)


def _limit(
    gate: str, value: float | None, limit: float, unit: str, setting: str, n: int
) -> GateResult:
    what = gate.replace("_", " ")
    if value is None:
        sentence = f"{what} was not measured; not promoted."
        return GateResult(gate, None, float(limit), n, "failed", sentence)
    is_fine = value <= limit
    sentence = f"{what} {value:.4g} {unit}, at most {limit:g} {unit} allowed ({setting})" + (
        "." if is_fine else ": too much; not promoted."
    )
    return GateResult(gate, value, float(limit), n, "passed" if is_fine else "failed", sentence)
