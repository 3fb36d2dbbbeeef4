"""Say why records come to too little to train on: how many there are, what is wrong with them.

The same words in `check`, `once` and the API. Reads records by the workload's own judgement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shared.documents.field_specs import FieldSpec
from shared.records import Table
from shared.workloads.contract import Workload

MOST_LOOKED_AT = 100_000
_MOST_NAMED = 6


def shortage(workload: Workload, streams: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """One sentence a stream that has something to say: "80 products, 0 approved; statuses: …".

    "" where most records can be used.

    streams : stream -> the fields of its records; of many, the first are looked at.
    """
    sentences = [
        sentence
        for spec in workload.streams
        if spec.name in streams and (spec.is_counted or spec.is_required)
        for sentence in [_of_stream(workload, spec.name, streams[spec.name])]
        if sentence
    ]
    return " ".join(sentences)


def shortage_of(workload: Workload, tables: Mapping[str, Table]) -> str:
    """The same of frozen streams."""
    records = {name: (record.fields for record in table) for name, table in tables.items()}
    return shortage(workload, records)


def _of_stream(workload: Workload, stream: str, records: Iterable[Mapping[str, Any]]) -> str:
    fields = [field for field in workload.fields_of(stream) if field.meanings]
    reasons: Counter[str] = Counter()
    words: dict[str, Counter[str]] = {field.name: Counter() for field in fields}
    n_records = 0
    for record in records:
        if n_records >= MOST_LOOKED_AT:
            break
        n_records += 1
        reason = workload.why_unusable(stream, record)
        if reason is not None:
            reasons[reason] += 1
        for field in fields:
            value = next(
                (record[name] for name in field.names if record.get(name) is not None), None
            )
            if isinstance(value, str | bool | int | float):
                words[field.name][_spelt(value)] += 1
    noun = stream.replace("_", " ")
    if not n_records:
        return f"no {noun}."
    unknown = [
        f"{n_records:,} {noun}, 0 {_meaning(field)};"
        f" {_plural(field.name)}: {_counted(words[field.name])}."
        for field in fields
        if words[field.name] and not _n_meant(field, words[field.name])
    ]
    if unknown:
        return " ".join(unknown)
    n_usable = n_records - sum(reasons.values())
    if n_usable > n_records / 2:
        return ""  # what is there can be used: it is too little of it, and the gate says so
    return f"{n_records:,} {noun}, {n_usable:,} usable: {_counted(reasons)}."


def _n_meant(field: FieldSpec, words: Counter[str]) -> int:
    known = {
        _plain(word) for meaning, usual in field.meanings.items() for word in (meaning, *usual)
    }
    return sum(n for word, n in words.items() if _plain(word) in known or word == "true")


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())


def _meaning(field: FieldSpec) -> str:
    """What the records would have to say; of several meanings, that they say one at all."""
    return next(iter(field.meanings)) if len(field.meanings) == 1 else "of a kind that is known"


def _plural(name: str) -> str:
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _spelt(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()[:40]


def _counted(counts: Counter[str]) -> str:
    shown = ", ".join(f"{word or repr('')} ({n:,})" for word, n in counts.most_common(_MOST_NAMED))
    return shown + (f" and {len(counts) - _MOST_NAMED} more" if len(counts) > _MOST_NAMED else "")
