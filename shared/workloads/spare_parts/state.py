"""Store what answers about spare parts need beyond the estimator, and read it again.

Bytes in, bytes out: no disk, no request and no clock.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import numpy as np

from shared.errors import LoadFailed
from shared.workloads.spare_parts.daily_totals import CatalogueEntry
from shared.workloads.spare_parts.history import DemandHistory

STATE_DAYS = 400
"""How much history a version carries: more than a year, so that a past date can be asked."""

_STATE_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class ServingState:
    """What the answers need beyond the estimator."""

    history: DemandHistory
    catalogue: tuple[CatalogueEntry, ...]


class _StoredState(msgspec.Struct):
    """state.json; the arrays of the history are in state.npz beside it, `usual` and
    `earlier_totals` only since they count."""

    format: int
    first_day: date
    parts: list[str]
    first_use: list[date]
    catalogue: list[dict[str, Any]]


def write_serving_state(serving_state: ServingState) -> dict[str, bytes]:
    """File name -> bytes; the same state gives the same bytes."""
    history = serving_state.history.newest(STATE_DAYS)
    saved = _StoredState(
        format=_STATE_FORMAT,
        first_day=as_date(history.first_day),
        parts=list(history.parts),
        first_use=[as_date(day) for day in history.first_use],
        catalogue=[dict(entry) for entry in serving_state.catalogue],
    )
    pieces = io.BytesIO()
    np.savez_compressed(
        pieces,
        pieces=history.pieces,
        usual=history.usual,
        earlier_totals=history.earlier_totals,
    )
    return {"state.json": msgspec.json.encode(saved), "state.npz": pieces.getvalue()}


def read_serving_state(state: Mapping[str, bytes]) -> ServingState:
    """The reverse of `write_serving_state`.

    Raises:
        LoadFailed: a file is missing, not readable, or of another format.
    """
    missing = [name for name in ("state.json", "state.npz") if name not in state]
    if missing:
        raise LoadFailed(f"state of spare_parts: missing {missing}, found {sorted(state)}.")
    try:
        saved = msgspec.json.decode(state["state.json"], type=_StoredState)
        with np.load(io.BytesIO(state["state.npz"]), allow_pickle=False) as arrays:
            pieces = np.asarray(arrays["pieces"], dtype=np.float64)
            later = {name: arrays[name] for name in ("usual", "earlier_totals") if name in arrays}
    except Exception as error:  # zip, header and JSON errors are of many types
        raise LoadFailed(f"state of spare_parts cannot be read: {error!r}.") from error
    expected = (_STATE_FORMAT, len(saved.parts), len(saved.parts))
    found = (saved.format, pieces.shape[-1], len(saved.first_use))
    if pieces.ndim != 2 or expected != found:
        raise LoadFailed(
            f"state of spare_parts: expected (format, columns, first uses) {expected}, "
            f"found {found}."
        )
    first_use = np.array(saved.first_use, dtype="datetime64[D]")
    first_day = np.datetime64(saved.first_day, "D")
    history = DemandHistory(
        first_day, tuple(saved.parts), pieces, first_use, is_plain="usual" not in later, **later
    )
    return ServingState(history, tuple(saved.catalogue))


def as_date(day: np.datetime64) -> date:
    """A NumPy day as a date."""
    found = day.astype("datetime64[D]").item()
    assert isinstance(found, date)
    return found
