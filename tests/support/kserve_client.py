"""KServe's REST client without the rest of KServe, which would bring Kubernetes and web servers."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


def import_kserve_client() -> tuple[Any, Any]:
    """(module of the client, module of its messages).

    The package's own `__init__` imports its servers; the client's modules stand alone.
    """
    if "kserve" not in sys.modules:
        spec = importlib.util.find_spec("kserve")
        assert spec is not None, "kserve is not installed; run scripts/setup/environment.py --dev"
        package = types.ModuleType("kserve")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["kserve"] = package
    return (
        importlib.import_module("kserve.inference_client"),
        importlib.import_module("kserve.protocol.infer_type"),
    )
