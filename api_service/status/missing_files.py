"""Report files and directories of the home that existed and are missing while the API runs.

Creates none of them, because each has another writer. Any thread may call.
"""

from __future__ import annotations

from pathlib import Path

from api_service.config.serving import ServingConfig
from shared.keys.api_keys import Role


class MissingFiles:
    """Remembers what it has seen: what was never there is not missed."""

    def __init__(self, config: ServingConfig) -> None:
        self._consequences = {
            config.models_dir: "what is open goes on serving, and a restart would serve nothing;"
            " restore it from a backup",
            config.public_key_path: "no new version can be verified; the retrain daemon writes it"
            " again while it runs",
            config.run_log_path: "runs cannot be shown; the retrain daemon writes it again while"
            " it runs",
        }
        for role in Role:
            self._consequences[config.keys_dir / f"{role}.key"] = (
                "its keys are refused; the next start of the retrain daemon makes a new one"
            )
        self._seen: set[Path] = set()

    def sentences(self) -> list[str]:
        """What is gone now, each with what follows from it."""
        gone = []
        for path, consequence in self._consequences.items():
            if path.exists():
                self._seen.add(path)
            elif path in self._seen:
                gone.append(f"{path} is gone: {consequence}.")
        return gone
