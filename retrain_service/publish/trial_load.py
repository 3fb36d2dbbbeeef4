"""Trial load: open a staged version in a fresh process as the API would, and measure it.

It is started while the version is still being staged, and waits, its imports done, until it is
told what to open. Runs beside the training process; judges nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from shared.loading.trial_load import TrialResult

TRIAL_GRACE_S = 60


class TrialLoad:
    """One process for one version; leaving the block ends it, whether it was asked or not."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shared.loading.trial_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def open(
        self, staged: Path, public_key: Path, model: str, version: str, max_load_s: float = 60.0
    ) -> TrialResult:
        """Open the staged version with the API's own loader.

        max_load_s : what opening may take; the process itself starts and measures beside that.
        """
        timeout_s = max_load_s + TRIAL_GRACE_S
        told = msgspec.json.encode([str(staged), str(public_key), model, version])
        try:
            output, errors = self._process.communicate(told, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return TrialResult(f"the trial load took longer than {timeout_s:g} s")
        try:
            return msgspec.json.decode(output, type=TrialResult)
        except msgspec.DecodeError:
            lines = errors.decode(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "no output"
            code = self._process.returncode
            return TrialResult(f"the trial load died (exit code {code}): {last}")
