"""Open a staged version in a fresh process and measure it: the trial load.

`python -m shared.loading.trial_load` reads a JSON list from standard input,
[directory, public key, model, version], and prints one JSON line: what was measured, or the error.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from pathlib import Path

import msgspec

from shared.errors import (
    HotfitError,
)
from shared.keys.signing import VerifyKey
from shared.loading.golden_answers import read_goldens
from shared.loading.open_version import open_version
from shared.versions.version_files import VersionFiles
from shared.workloads.contract import Answerer
from shared.workloads.training import GoldenRequest

LATENCY_ROUNDS = 5


class TrialResult(msgspec.Struct, frozen=True):
    """What a trial load printed: `error` is None when the version may serve.

    memory_mb : resident memory of the process with nothing but this version in it.
    size_mb : all files that the manifest names. latency_ms : of the slowest golden request, warm;
        the median of several rounds.
    """

    error: str | None
    timings_ms: dict[str, float] = {}
    n_goldens: int = 0
    memory_mb: float | None = None
    size_mb: float | None = None
    latency_ms: float | None = None


def _resident_mb() -> float:
    import psutil  # only the trial measures

    return float(psutil.Process().memory_info().rss) / 1e6


def _latency_ms(answerer: Answerer, golden: GoldenRequest) -> float:
    """The median over a few rounds, so that one interruption does not decide."""
    took_ms = []
    for _ in range(LATENCY_ROUNDS):
        started = time.perf_counter()
        answerer.answer(golden.question, golden.request, golden.now)
        took_ms.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took_ms)


def main(arguments: bytes) -> int:
    """The trial: open a version as the API would, in this process."""
    directory, public_key, model, version = msgspec.json.decode(arguments, type=list[str])
    try:
        key = VerifyKey.read(Path(public_key))
        loaded = open_version(Path(directory), key, model=model, version=version)
    except HotfitError as error:
        result = TrialResult(str(error))
    else:
        goldens = read_goldens(VersionFiles(Path(directory), version, loaded.manifest.files))
        result = TrialResult(
            None,
            dataclasses.asdict(loaded.timings),
            len(goldens),
            _resident_mb(),
            sum(entry.size_bytes for entry in loaded.manifest.files.values()) / 1e6,
            max(_latency_ms(loaded.answerer, line.golden) for line in goldens),
        )
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return 0 if result.error is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer.read()))
