"""The training daemon's loop in this process, ticked by hand; its sources hold nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from retrain_service.retrain_loop import RetrainLoop
from shared.daemon.loop import utc_now
from shared.exchange.control_request import Request
from shared.exchange.json_files import read_struct, write_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.settings.root import Settings


class HandTickedLoop:
    """On models `a`, `b`, and `solar` with one model for each device."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings.model_validate(
            {
                "home": home,
                "sources": {"rows": {"kind": "sql", "url": "sqlite://"}},
                "models": {
                    "a": {"workload": "spare_parts", "source": "rows"},
                    "b": {"workload": "spare_parts", "source": "rows"},
                    "solar": {"workload": "solar_power", "source": "rows"},
                },
            }
        )
        self.now = utc_now()
        self.loop = RetrainLoop(self.settings)
        self.loop.initialize(self.now)

    def tick(self) -> RetrainReport:
        """One tick, and what the daemon says of itself after it."""
        self.now += timedelta(seconds=6)
        self.loop.tick(self.now)
        return self.report()

    def report(self) -> RetrainReport:
        report = read_struct(self.settings.reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
        assert report is not None
        return report

    def ask(self, kind: Any, model: str) -> Path:
        request = Request(
            id=f"{kind}-{model.replace('/', '-')}",
            kind=kind,
            model=model,
            requested_at=self.now,
            requested_by="me",
        )
        path = self.settings.requests_dir / f"{request.id}.json"
        write_struct(path, request)
        return path
