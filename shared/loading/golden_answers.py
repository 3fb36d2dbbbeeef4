"""Read the golden requests of a version and compare a model's answers with the stored ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.errors import (
    GoldenMismatch,
    LoadFailed,
)
from shared.versions.manifest import GOLDEN_NAME
from shared.versions.version_files import VersionFiles
from shared.workloads.contract import Answerer
from shared.workloads.training import GoldenRequest


class GoldenAnswer(msgspec.Struct, frozen=True):
    """One line of `golden.json`: a request and what the trainer answered."""

    golden: GoldenRequest
    answer: dict[str, Any]


def read_goldens(files: VersionFiles) -> Sequence[GoldenAnswer]:
    """The golden requests with the trainer's answers.

    Raises:
        LoadFailed: the file is not what it should be.
        VersionUnusable, StorageUnavailable: as `VersionFiles.read`.
    """
    try:
        return msgspec.json.decode(files.read(GOLDEN_NAME), type=list[GoldenAnswer])
    except msgspec.DecodeError as error:
        raise LoadFailed(f"{files.version}: {GOLDEN_NAME} cannot be read: {error}") from None


def check_goldens(
    answerer: Answerer, goldens: Sequence[GoldenAnswer], tolerance: float, version: str
) -> None:
    """Ask every golden request again.

    Raises:
        GoldenMismatch: an answer differs by more than the relative `tolerance`, or asking failed.
    """
    if not goldens:
        raise GoldenMismatch(f"{version}: {GOLDEN_NAME} holds no request; nothing could be checked")
    for i, line in enumerate(goldens):
        question = line.golden.question
        try:
            answer = answerer.answer(question, line.golden.request, line.golden.now)
        except Exception as error:
            raise GoldenMismatch(
                f"{version}: golden request {i} ({question}) failed: {error!r}"
            ) from error
        # What a client would get: through JSON and back, so that types compare as types there.
        difference = _difference(
            line.answer, msgspec.json.decode(msgspec.json.encode(answer)), tolerance, question
        )
        if difference is not None:
            raise GoldenMismatch(f"{version}: golden request {i}: {difference}")


def _difference(expected: Any, found: Any, tolerance: float, where: str) -> str | None:
    """The first difference between two JSON values as a sentence, or None."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            changed = sorted(expected.keys() ^ found.keys())
            return f"{where}: fields differ: {changed}"
        pairs = ((f"{where}.{name}", expected[name], found[name]) for name in expected)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{where}: expected {len(expected)} items, found {len(found)}"
        pairs = (
            (f"{where}[{i}]", one, other)
            for i, (one, other) in enumerate(zip(expected, found, strict=True))
        )
    elif _is_number(expected) and _is_number(found):
        close = math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
        return None if close else f"{where}: expected {expected!r}, found {found!r}"
    else:
        return None if expected == found else f"{where}: expected {expected!r}, found {found!r}"
    for place, one, other in pairs:
        difference = _difference(one, other, tolerance, place)
        if difference is not None:
            return difference
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
