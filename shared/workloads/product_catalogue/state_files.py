"""Pack the state of a version into two files: catalogue as JSON, arrays as .npz. Never code."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed
from shared.workloads.product_catalogue.catalogue import Catalogue

CATALOGUE, ARRAYS = "state.json", "state.npz"


def pack(catalogue: Catalogue, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    """File name -> bytes; the same content gives the same bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return {CATALOGUE: catalogue.save(), ARRAYS: file.getvalue()}


def unpack(state: Mapping[str, bytes]) -> tuple[Catalogue, dict[str, NDArray[np.generic]]]:
    """The reverse of `pack`.

    Raises:
        LoadFailed: a file is missing or not readable.
    """
    missing = [name for name in (CATALOGUE, ARRAYS) if name not in state]
    if missing:
        raise LoadFailed(f"state of products: missing {missing}, found {sorted(state)}.")
    catalogue = Catalogue.read(state[CATALOGUE])
    try:
        with np.load(io.BytesIO(state[ARRAYS]), allow_pickle=False) as file:
            return catalogue, {name: file[name] for name in file.files}
    except Exception as error:  # zip and header errors are of many types
        raise LoadFailed(f"{ARRAYS} cannot be read: {error!r}.") from error
