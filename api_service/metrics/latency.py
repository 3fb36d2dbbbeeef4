"""Compute latency quantiles from histogram buckets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api_service.metrics.recorder import BOUNDS_S


def quantile_s(share: float, counts: Iterable[Mapping[int, int]]) -> float | None:
    """Seconds below which this share of requests lies; None without requests.

    counts : bucket of BOUNDS_S -> requests; several are added up. Linear within a bucket, as
    Prometheus' histogram_quantile is; a bucket is a quarter wide.
    """
    sums = summed(counts)
    rank, so_far = share * sum(sums.values()), 0
    for bucket, n in sorted(sums.items()):
        if n and so_far + n >= rank:
            low = BOUNDS_S[bucket - 1] if bucket else 0.0
            high = BOUNDS_S[min(bucket, len(BOUNDS_S) - 1)]
            return low + (high - low) * (rank - so_far) / n
        so_far += n
    return None


def summed(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Bucket -> requests of all of them."""
    sums: dict[int, int] = {}
    for each in counts:
        for bucket, n in each.items():
            sums[bucket] = sums.get(bucket, 0) + n
    return sums
