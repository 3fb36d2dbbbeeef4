"""Check before the start that the settings, the keys and the port allow it.

Starts nothing and binds nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from api_service.config.listen_address import Address
from api_service.config.serving import ServingConfig
from api_service.status.workers import live_reports
from shared.errors import FixConfiguration, PortTaken
from shared.keys.api_keys import KEY_VARIABLE, ApiKeys

if TYPE_CHECKING:
    from shared.settings.root import Settings

log = structlog.get_logger()

_ORPHANS_END_WITHIN_S = 15.0


def prepare(settings: Settings) -> ServingConfig:
    """Everything that can be wrong is found here, before anything starts.

    Raises:
        FixConfiguration: the address, or a host that needs keys and has none.
    """
    address = Address.resolve(settings.api.host, settings.api.port)
    are_keys_needed = settings.api.require_keys == "always" or not address.is_loopback
    if are_keys_needed and not len(ApiKeys.read(settings.keys_dir)):
        remedy = (
            f"Start the retrain daemon once, which writes {settings.keys_dir}, or set"
            f" {KEY_VARIABLE}"
        )
        if address.is_loopback:
            raise FixConfiguration(
                f"api.require_keys: every request needs a key and no API key exists. {remedy}."
            )
        raise FixConfiguration(
            f"api.host: {settings.api.host} is reachable from other machines and no API key"
            f" exists. {remedy}; or use 127.0.0.1."
        )
    workers = settings.api.workers
    if sys.platform == "win32" and workers > 1:
        log.warning(
            "one_worker_on_windows",
            sentence="The server cannot share a port on Windows: one worker is started.",
            configured=workers,
        )
        workers = 1
    return ServingConfig.of(settings, address, workers)


def wait_for_port(address: Address, reports_dir: Path) -> None:
    """Find a taken port; workers of a main process that was killed are given time to end.

    Raises:
        PortTaken, FixConfiguration: as `Address.check_free` says.
    """
    deadline = time.monotonic() + _ORPHANS_END_WITHIN_S
    while True:
        try:
            address.check_free()
        except PortTaken:
            # We hold the only-instance lock: live workers of this home have lost their main.
            if not live_reports(reports_dir) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
