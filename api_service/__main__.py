"""The API daemon: `python -m api_service`. Wiring only."""

from __future__ import annotations

import sys

from api_service.server import prepare, serve, wait_for_port
from shared.daemon import only_instance, start_logging
from shared.errors import AlreadyRunning, FixConfiguration, HotfitError
from shared.settings import load_settings

DAEMON = "api_service"


def main() -> int:
    """Serve until told to stop. 2: fix the configuration; 3: runs already; 4: cannot start."""
    try:
        settings = load_settings()
        start_logging(settings.log_format, DAEMON)
        config = prepare(settings)
        with only_instance(settings.pids_dir, DAEMON):
            wait_for_port(config.address, config.reports_dir)
            serve(config)
    except AlreadyRunning as error:
        return _complain(error, 3)
    except FixConfiguration as error:
        return _complain(error, 2)
    except (HotfitError, OSError) as error:
        return _complain(error, 4)
    return 0


def _complain(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"{DAEMON}: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
