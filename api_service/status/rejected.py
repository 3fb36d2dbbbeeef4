"""Read the records that cannot be used, as the retrain daemon has listed them."""

from __future__ import annotations

from pathlib import Path

from shared.errors import StorageUnavailable
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.rejected_records import RejectedRecords, read_rejected


def list_rejected(reports_dir: Path, model: str) -> RejectedRecords | None:
    """Of a configured model, all its entities; None where nothing is known.

    Raises:
        StorageUnavailable: the list cannot be read now.
    """
    try:
        return read_rejected(reports_dir, model)
    except SignalUnreadable as error:
        raise StorageUnavailable(str(error)) from error
