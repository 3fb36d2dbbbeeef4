"""Choose the requests that every version answers, so that two versions can be compared."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from shared.workloads.product_catalogue.catalogue import Catalogue
from shared.workloads.training import AskedLists

MOST_ASKED = 200


def asked_lists(
    what: str, field: str, ids: Iterable[str], catalogue: Catalogue, n: int
) -> AskedLists:
    """`predict` about at most MOST_ASKED ids, in `field`, for `n` products each.

    Chosen by a hash: whom two versions know, both are asked about, however many came between.
    """
    chosen = sorted(ids, key=lambda one: (zlib.crc32(one.encode()), one))[:MOST_ASKED]
    request = {"instances": [{field: one} for one in chosen], "n": n}
    names = dict(zip(catalogue.ids, catalogue.names, strict=True))
    return AskedLists(what, chosen, request, names)
