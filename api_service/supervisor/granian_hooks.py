"""The private names of Granian that Hotfit builds on; where one is gone the start is refused.

pyproject.toml keeps Granian below its next minor version for the same reason.
"""

from __future__ import annotations

from typing import Any

from shared.errors import FixConfiguration

_IN_MODULE = ("_wsgi_call_wrap",)
_IN_SERVER = (
    *("_init_shared_socket", "_respawn_workers", "_serve_loop"),
    *("_spawn_worker", "_stop_workers"),
)


def require_hooks(module: Any) -> None:
    """Refuse to start with a Granian that has changed inside.

    Args:
        module: `granian.server.mp`.

    Raises:
        FixConfiguration: names what is missing.
    """
    missing = [name for name in _IN_MODULE if not hasattr(module, name)]
    missing += [f"MPServer.{name}" for name in _IN_SERVER if not hasattr(module.MPServer, name)]
    if missing:
        raise FixConfiguration(
            f"expected Granian 2.8, found another one without {', '.join(missing)}: nothing is"
            ' served. Install the release that Hotfit is made for: pip install "granian>=2.8,<2.9".'
        )
