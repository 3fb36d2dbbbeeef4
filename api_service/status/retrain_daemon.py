"""Read the retrain daemon's state from its report file."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from api_service.status.models import in_words, seconds_since
from shared.exchange.json_files import SignalUnreadable, read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport

SILENT_AFTER_S = 30
_HOW_TO_START = "scripts/start.sh, or systemctl start hotfit-retrain where it is a service"
_ADVICE = f"versions go on being served but are not renewed; start it ({_HOW_TO_START})."


@dataclass(frozen=True, slots=True)
class RetrainDaemon:
    """`state`: running, silent (its process lives, its loop does not report) or not_running."""

    state: str
    sentence: str
    report: RetrainReport | None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


def look_at_retrain_daemon(reports_dir: Path, now: datetime) -> RetrainDaemon:
    """Read its report and check its process."""
    try:
        report = read_struct(reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
    except SignalUnreadable as error:
        return RetrainDaemon("not_running", f"the retrain daemon's report: {error}", None)
    if report is None:
        return RetrainDaemon(
            "not_running", f"the retrain daemon has not started here; {_ADVICE}", None
        )
    age_s = seconds_since(report.updated_at, now) or 0
    is_here = report.host == socket.gethostname()
    if is_here and not psutil.pid_exists(report.pid):
        return RetrainDaemon(
            "not_running",
            f"the retrain daemon stopped, last heard {in_words(age_s)} ago; {_ADVICE}",
            report,
        )
    if age_s > SILENT_AFTER_S:
        return RetrainDaemon(
            "silent",
            f"the retrain daemon (pid {report.pid}) has not reported for {in_words(age_s)};"
            " its log says what it does, restarting it does no harm.",
            report,
        )
    return RetrainDaemon("running", f"the retrain daemon runs (pid {report.pid}).", report)
