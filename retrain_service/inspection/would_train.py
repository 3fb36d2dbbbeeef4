"""Say whether a training would start on the records that were looked at, and why not.

Where a stream was read whole, its rows are made and the data gate judges them, as a run would do;
else the sample decides. Fits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from retrain_service.inspection.stream_report import StreamReport
from retrain_service.promotion.decide import Promote, check_data, reason
from retrain_service.promotion.readable_gate import judge_readable, unmapped_streams
from shared.records import Record, Table, to_epoch_us
from shared.settings.per_model import GateSettings, ModelSettings
from shared.workloads.contract import Workload
from shared.workloads.defaults import gate_of
from shared.workloads.shortage import shortage

_MOST_ENTITIES = 20
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether a training would start; `sentence` says why, or why not.

    is_certain : the rows were made and judged; else a sample was looked at.
    """

    would_start: bool
    sentence: str
    is_certain: bool = False


def outlook(
    name: str,
    model: ModelSettings,
    workload: Workload,
    reports: Sequence[StreamReport],
    now: datetime,
) -> Outlook:
    """What a training of this model would meet; `name` is the model's."""
    gate = gate_of(model)
    needed = {spec.name for spec in workload.streams if spec.is_required}
    faults = [fault for each in reports if each.stream in needed for fault in each.faults]
    if faults:
        return Outlook(False, "would not start: " + " ".join(faults))
    counted = {spec.name for spec in workload.streams if spec.is_counted}
    n_usable = sum(each.n_usable for each in reports if each.stream in counted)
    records = {each.stream: each.records for each in reports}
    readable = judge_readable(
        {stream: [each.fields for each in some] for stream, some in records.items()},
        workload,
        gate,
        model=name,
        unmapped=unmapped_streams(model, workload),
    )
    if readable.stops:
        sentence = f"would not start: {readable.sentence} {_shortage(workload, records)}"
        return Outlook(False, sentence.rstrip())
    if not n_usable:
        return Outlook(False, "would not start: " + _shortage(workload, records))
    if not all(each.sample is None or each.sample.is_whole for each in reports):
        return Outlook(True, "would start, as far as the records looked at tell.")
    return _judged(workload, gate, records, now)


def _judged(
    workload: Workload,
    gate: GateSettings,
    records: Mapping[str, Sequence[Record]],
    now: datetime,
) -> Outlook:
    """By the rows themselves; of a model per entity, by those of each entity."""
    found: list[Outlook] = []
    for entity, tables in _by_entity(workload, records).items():
        try:
            rows = workload.training_set(tables)
            rows, verdict = check_data(
                rows,
                gate,
                features=workload.features_of(rows),
                n_records=sum(map(len, tables.values())),
                now=now,
            )
        except Exception as error:  # noqa: BLE001 - a run would fail the same way, and say so
            return Outlook(False, f"would fail: {type(error).__name__}: {error}", True)
        whose = f" of {entity}" if entity else ""
        if isinstance(verdict, Promote):
            sentence = f"{rows.n_rows:,} rows{whose} over {rows.n_days:,} days"
            found.append(Outlook(True, f"would start: {sentence} are enough.", True))
        else:
            short = _shortage(workload, records)
            sentence = f"would not start: {reason(verdict)}{whose and f' ({entity})'} {short}"
            found.append(Outlook(False, sentence.rstrip(), True))
    starting = [each for each in found if each.would_start]
    return starting[0] if starting else found[0]


def _by_entity(
    workload: Workload, records: Mapping[str, Sequence[Record]]
) -> dict[str, dict[str, Table]]:
    whole = {spec.name: records.get(spec.name, ()) for spec in workload.streams}
    if not workload.per_entity:
        return {"": {name: _table(name, some) for name, some in whole.items()}}
    entities = dict.fromkeys(
        entity
        for name, some in whole.items()
        for record in some
        if (entity := workload.entity_of(name, record.fields))
    )
    return {
        entity: {
            name: _table(
                name,
                [each for each in some if workload.entity_of(name, each.fields) in (entity, None)],
            )
            for name, some in whole.items()
        }
        for entity in list(entities)[:_MOST_ENTITIES]
    }


def _table(stream: str, records: Sequence[Record]) -> Table:
    return Table(
        stream,
        [record.id for record in records],
        [to_epoch_us(record.updated_at) for record in records],
        [_encode(record.fields) for record in records],
    )


def _shortage(workload: Workload, records: Mapping[str, Sequence[Record]]) -> str:
    return shortage(
        workload, {name: [record.fields for record in some] for name, some in records.items()}
    )
