"""Find, call and recognise the factory of a user's own estimator: package.module:factory.

Only a training process calls it; looking up its version runs none of it.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from shared.errors import SettingsInvalid
from shared.workloads.tabular.parameters import WHERE

_INSTALLED = ("site-packages", "dist-packages")
_SEED_NAMES = ("seed", "random_state")


def make_own(import_path: str, options: Mapping[str, Any], seed: int) -> Any:
    """What the factory returns: an estimator that was not fitted yet.

    It is given `options`, and the seed where it takes one by the name seed or random_state.

    Raises:
        SettingsInvalid: it cannot be imported or called, or what it gives is no estimator.
    """
    factory = _found(import_path)
    wanted = dict(options)
    for name in _SEED_NAMES:
        if name not in wanted and name in _names_it_takes(factory):
            wanted[name] = seed
    try:
        estimator = factory(**wanted)
    except Exception as error:
        raise SettingsInvalid(
            f"{WHERE}: estimator: {import_path} called with {sorted(wanted)} failed:"
            f" {type(error).__name__}: {error}."
        ) from error
    if isinstance(estimator, type) or not all(
        callable(getattr(estimator, name, None)) for name in ("fit", "predict")
    ):
        raise SettingsInvalid(
            f"{WHERE}: estimator: expected {import_path} to return a scikit-learn estimator or"
            f" pipeline, with fit and predict; found {_shown(estimator)}."
        )
    return estimator


def own_version(import_path: str) -> dict[str, str]:
    """{top package: version}, so that changed code is seen as a changed library is.

    The version of an installed distribution, else a digest of the package's source files in the
    form 0.0+DIGEST; empty where there is no such package. Imports nothing of it.
    """
    name = import_path.partition(":")[0].partition(".")[0]
    spec = PathFinder.find_spec(name)
    if spec is None:
        return {}
    folders = list(spec.submodule_search_locations or ())
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    if not folders and spec.origin is not None:
        files = [Path(spec.origin)]
    if any(part in _INSTALLED for file in files[:1] for part in file.parts):
        distributions = packages_distributions().get(name, ())
        return {name: version(distributions[0])} if distributions else {}
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        except OSError:
            continue  # gone or not readable at this moment; the next look tells
    return {name: f"0.0+{digest.hexdigest()[:12]}"}


def _found(import_path: str) -> Any:
    module_name, _, name = import_path.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise SettingsInvalid(
            f"{WHERE}: estimator: {module_name} cannot be imported ({error}). It is looked for in"
            f" the daemons' working directory ({Path.cwd()}), in the folders of PYTHONPATH and"
            f" among the packages installed in {sys.prefix}."
        ) from error
    except Exception as error:
        raise SettingsInvalid(
            f"{WHERE}: estimator: importing {module_name} failed: {type(error).__name__}: {error}."
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        there = "is not callable" if hasattr(module, name) else "is not there"
        functions = sorted(
            each
            for each, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module_name
        )
        raise SettingsInvalid(
            f"{WHERE}: estimator: {name} {there} in {module_name} ({module.__file__}); found"
            f" {functions}."
        )
    return factory


def _names_it_takes(factory: Any) -> set[str]:
    try:
        return set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # made in C: it says nothing
        return set()


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}; call it"
    return f"{type(value).__name__}" if value is not None else "None; is a return missing?"
