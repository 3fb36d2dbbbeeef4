"""How many records of each stream have been read: by the daemon's report, else by the buffer.

Opens the buffer only while nobody else has it, and changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from retrain_service.buffer.store import Buffer, buffer_path
from shared.daemon.loop import utc_now
from shared.daemon.one_instance import only_instance
from shared.errors import HotfitError
from shared.exchange.json_files import read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.settings.root import Settings
from shared.versions.model_names import split_name


@dataclass(frozen=True, slots=True)
class StreamRead:
    """Records and tombstones of a stream in the buffer, and the newest of their times, UTC."""

    n_records: int
    newest: datetime | None


def records_read(settings: Settings, name: str) -> Mapping[str, StreamRead]:
    """By stream; nothing where that is not known."""
    path = buffer_path(settings.buffer_dir, name)
    if not path.exists():
        return {}
    try:
        with only_instance(settings.pids_dir, "retrain_service"):
            buffer = Buffer(path, utc_now())
            try:
                return {
                    stream: StreamRead(found.n_records + found.n_deleted, buffer.newest(stream))
                    for stream, found in buffer.statistics().items()
                }
            finally:
                buffer.close()
    except (HotfitError, OSError):  # the daemon has it: what it reports must do
        return _reported(settings, name)


def _reported(settings: Settings, name: str) -> Mapping[str, StreamRead]:
    try:
        report = read_struct(settings.reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
    except (HotfitError, OSError):
        return {}
    models = report.models if report is not None else {}
    return {
        source.stream: StreamRead(
            source.n_records, training.buffer.newest if training.buffer is not None else None
        )
        for full, training in models.items()
        if split_name(full)[0] == name
        for source in training.sources
    }
