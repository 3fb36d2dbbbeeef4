"""The gate of readable records: refuse to train on the rest where many could not be read.

Records that are left out on purpose, such as an order that was cancelled, count as read. Knows no
source: what a known shape would read more of is found by the records themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from retrain_service.promotion.gate_result import GateResult, Promote, Reject, Verdict, percent
from shared.errors import SettingsInvalid
from shared.mapping.fields import open_mapping
from shared.mapping.shapes import recognised
from shared.records import Table
from shared.settings.per_model import GateSettings, ModelSettings
from shared.settings.streams import StreamSettings
from shared.workloads.contract import Workload

GATE = "data_readable"
_FEWEST = 20
_MOST_LOOKED_AT = 10_000
_GAIN = 0.05
_MOST_NAMED = 3

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Stream:
    """What was seen of one stream: n_looked records, n_unread of them, the reasons of all that
    are left out, and the shape that would read more of them, "" for none."""

    name: str
    n_looked: int
    n_unread: int
    reasons: Mapping[str, int]
    shape: str

    @property
    def share(self) -> float:
        return self.n_unread / self.n_looked


def check_readable(
    streams: Mapping[str, Iterable[Fields]],
    workload: Workload,
    policy: GateSettings,
    *,
    model: str,
    unmapped: Collection[str],
    before: Verdict,
) -> Verdict:
    """The verdict of the data gate, unless too many records could not be read: then `Reject`.

    streams : stream -> the fields of its records, as `sampled` gives them.
    unmapped : as `unmapped_streams` gives them.
    """
    result = judge_readable(streams, workload, policy, model=model, unmapped=unmapped)
    gates = (*before.gates, result)
    if result.stops:
        return Reject(gates)
    return Promote(gates) if isinstance(before, Promote) else before


def unmapped_streams(model: ModelSettings, workload: Workload) -> tuple[str, ...]:
    """The streams for which the configuration names neither fields nor a shape."""
    return tuple(
        spec.name
        for spec in workload.streams
        if not (model.stream(spec.name).shape or model.stream(spec.name).fields)
    )


def sampled(tables: Mapping[str, Table]) -> dict[str, Iterator[Fields]]:
    """The records of each stream; of a large one, some from its whole length."""
    return {
        name: (
            record.fields for record in islice(table, 0, None, 1 + len(table) // _MOST_LOOKED_AT)
        )
        for name, table in tables.items()
    }


def judge_readable(
    streams: Mapping[str, Iterable[Fields]],
    workload: Workload,
    policy: GateSettings,
    *,
    model: str,
    unmapped: Collection[str],
) -> GateResult:
    """The value is the share of the stream that is read worst; the bound `max_unreadable`."""
    bound = policy.max_unreadable
    looked_at = [
        _look_at(workload, spec.name, list(streams[spec.name]), spec.name in unmapped)
        for spec in workload.streams
        if spec.name in streams and (spec.is_counted or spec.is_required)
    ]
    n = sum(each.n_looked for each in looked_at)
    worst = max((each for each in looked_at if each.n_looked), key=_badness, default=None)
    if worst is None:
        return GateResult(GATE, None, bound, 0, "skipped", "there are no records to look at.")
    is_fine = not worst.shape and (worst.n_looked < _FEWEST or worst.share <= bound)
    sentence = _sentence(worst, bound, model, is_fine=is_fine)
    return GateResult(GATE, worst.share, bound, n, "passed" if is_fine else "failed", sentence)


def _badness(stream: _Stream) -> tuple[bool, float]:
    return bool(stream.shape), stream.share


def _look_at(workload: Workload, stream: str, records: list[Fields], is_unmapped: bool) -> _Stream:
    reasons = Counter(
        reason for each in records if (reason := workload.why_unusable(stream, each)) is not None
    )
    n_unread = sum(n for reason, n in reasons.items() if not workload.is_left_out(reason))
    shape = ""
    if is_unmapped and reasons:
        n_more = reasons.total() - _n_left_out_with_shape(workload, stream, records)
        if n_more >= max(1.0, _GAIN * len(records)):
            found = recognised(stream, records)
            shape = found.name if found is not None else ""
    return _Stream(stream, len(records), n_unread, reasons, shape)


def _n_left_out_with_shape(workload: Workload, stream: str, records: list[Fields]) -> int:
    """How many would still be left out; all of them where no shape is recognised."""
    shape = recognised(stream, records)
    if shape is None:
        return len(records)
    try:
        mapping = open_mapping(
            workload.fields_of(stream),
            StreamSettings(shape=shape.name),
            stream=stream,
            where=stream,
        )
        return sum(workload.why_unusable(stream, mapping(each)) is not None for each in records)
    except SettingsInvalid:
        return len(records)


def _sentence(stream: _Stream, bound: float, model: str, *, is_fine: bool) -> str:
    noun = stream.name.replace("_", " ")
    n_left_out = sum(stream.reasons.values()) if stream.shape else stream.n_unread
    reasons = dict(sorted(stream.reasons.items(), key=lambda each: -each[1]))
    listed = ", ".join(f"{reason} ({n:,})" for reason, n in islice(reasons.items(), _MOST_NAMED))
    share = percent(n_left_out / stream.n_looked)
    counted = f"{n_left_out:,} of {stream.n_looked:,} {noun} ({share}) cannot be read"
    if is_fine:
        return f"{counted}."
    if stream.shape:
        return (
            f"{counted}: {listed}. They look like {stream.shape} and would be read with its shape:"
            f' not trained. Set [models.{model}.streams.{stream.name}] shape = "{stream.shape}".'
        )
    return (
        f"{counted}: {listed}; at most {percent(bound)} allowed: not trained. `check` says which"
        f" lines would mend it; [models.{model}.gate] max_unreadable ="
        f" {min(1.0, round(stream.share + 0.05, 1)):g} trains on the rest."
    )
