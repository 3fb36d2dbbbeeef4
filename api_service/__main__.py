"""Start the prediction daemon (`python -m api_service`): from settings to a running supervisor.

Serves nothing itself.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from api_service.config.listen_address import Address
from api_service.config.serving import ServingConfig
from api_service.supervisor import import_environment  # noqa: F401 - before all others
from api_service.supervisor.fork_server import ForkServer, is_supported
from api_service.supervisor.socket_activation import inherited_socket_of_systemd
from api_service.supervisor.start_checks import prepare, wait_for_port
from api_service.supervisor.subprocess_call import SubprocessCall
from api_service.supervisor.supervisor import serve
from shared.daemon.logs import start_logging
from shared.daemon.loop import close_new_files
from shared.daemon.one_instance import only_instance
from shared.daemon.patient_start import patiently
from shared.errors import AlreadyRunning, FixConfiguration, HotfitError

DAEMON = "api_service"
STANDBY = "api_service_standby"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop. 2: fix the configuration; 3: runs already; 4: cannot start."""
    options = _parser().parse_args(arguments)
    close_new_files()
    try:
        if options.print_address:
            return _print(_address())
        # Both fork this process, which has one thread and nothing open yet.
        plan = SubprocessCall(_plan)
        fork_server = ForkServer.fork() if is_supported() else None
        config, pids_dir = plan.result()
        start_logging(config.log_format, DAEMON)
        inherited_socket = inherited_socket_of_systemd(config.address)
        instance = partial(only_instance, pids_dir, STANDBY if options.standby else DAEMON)
        with contextlib.ExitStack() as resources:
            # TERM ends this process by itself until it serves: nothing has to stop the waiting.
            patiently(lambda: resources.enter_context(instance()), threading.Event())
            if inherited_socket is None:
                wait_for_port(config.address, config.reports_dir)
            serve(config, inherited_socket, fork_server, is_standby=options.standby)
    except AlreadyRunning as error:
        return _fail(error, 3)
    except FixConfiguration as error:
        return _fail(error, 2)
    except (HotfitError, OSError) as error:
        return _fail(error, 4)
    return 0


def _plan() -> tuple[ServingConfig, Path]:
    """What the configuration asks for: to serve, and where process ids go."""
    # Here, since the settings library is large and needed only for a moment.
    from shared.settings.environment import warn_of_unread_variables
    from shared.settings.root import load_settings

    settings = load_settings()
    start_logging(settings.log_format, DAEMON)
    config = prepare(settings)
    warn_of_unread_variables()
    return config, settings.pids_dir


def _address() -> Address:
    from shared.settings.root import load_settings

    settings = load_settings()
    return Address.resolve(settings.api.host, settings.api.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api_service", description="Answer predictions until told to stop."
    )
    parser.add_argument(
        "--standby",
        action="store_true",
        help="serve beside the daemon on the socket that systemd hands to both,"
        " while the daemon is restarted",
    )
    parser.add_argument(
        "--print-address",
        action="store_true",
        help="print the address that the configuration asks for, as IP:PORT, and end",
    )
    return parser


def _print(address: Address) -> int:
    ip = f"[{address.ip}]" if ":" in address.ip else address.ip
    sys.stdout.write(f"{ip}:{address.port}\n")
    return 0


def _fail(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"{DAEMON}: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
