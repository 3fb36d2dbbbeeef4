"""Open the form of a version that was verified, without scikit-learn. Any thread may call it."""

from __future__ import annotations

from typing import Any

from shared.errors import LoadFailed
from shared.forms import data_tree
from shared.forms.process.client import EstimatorProcess
from shared.forms.process.form import Processed, wrap
from shared.versions.manifest import COMPILED_NAME, IN_PROCESS, MODEL_NAME, Manifest
from shared.versions.version_files import VersionFiles


class NeedsTheProcess(Exception):
    """The estimator is neither data nor can it be asked from outside: it must be unpickled here."""


def open_form(files: VersionFiles, manifest: Manifest) -> Any:
    """What a workload's `open` gets instead of the estimator.

    Returns:
        An object with `predict`, for classifiers `predict_proba` and `classes_`; or the estimator
        itself where it is data of ours. Versions without `compiled/` are asked in a process of
        their own.

    Raises:
        LoadFailed: the form cannot be opened here.
        NeedsTheProcess: only unpickling in this process can open it.
    """
    if f"{COMPILED_NAME}/{data_tree.TREE_NAME}" in manifest.files:
        return open_compiled(files)
    if manifest.serving_form.form == IN_PROCESS:
        raise NeedsTheProcess
    process = EstimatorProcess(files.known(MODEL_NAME), "whole")
    tree = process.tree()
    if tree is not None:
        process.close()
        return data_tree.decode(*tree)
    if "predict" not in process.hello.methods:
        process.close()
        raise NeedsTheProcess
    return wrap(process, Processed(MODEL_NAME, 0, None, None, ()))


def open_compiled(files: VersionFiles) -> Any:
    """The form in `compiled/`.

    Raises:
        LoadFailed: what is stored there is none.
        VersionUnusable, StorageUnavailable: as `VersionFiles.read`.
    """
    stored = data_tree.read_tree(files)
    try:
        open_stored = stored.open_form
    except AttributeError:
        raise LoadFailed(f"{data_tree.TREE_NAME}: {type(stored).__name__} is no form.") from None
    return open_stored(files)
