"""Set environment variables that libraries read at import; must be imported before all of them.

They read the environment once, when they are loaded, and take in what else is installed.
"""

from __future__ import annotations

import os
import sys

_DEFAULTS = {
    # Numerical libraries spin against each other on few cores; one thread each is fastest here.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # The server's allocator: one place to allocate from, instead of four a core and a store for
    # each of its threads, and nothing that is free is held for long.
    "_RJEM_MALLOC_CONF": "narenas:1,tcache:false,dirty_decay_ms:1000,muzzy_decay_ms:0",
}

for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)

# structlog draws tracebacks with rich where it can be imported. Ours are drawn before it sees them
# (shared.daemon.loop.start_logging), and rich is as large as all the rest of logging.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog as _structlog  # noqa: F401 - for what it does not import later

    del sys.modules["rich"]
