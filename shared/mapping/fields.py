"""Map the records of a foreign application to the fields that a workload reads.

A mapping is a pure transform of one record, the same in both daemons. Knows no workload and no
source: the declaration of the fields and the settings of the stream come in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec

from shared.documents.field_specs import FieldSpec
from shared.errors import SettingsInvalid
from shared.mapping.conversion import Conversion, conversion_of
from shared.mapping.paths import Path
from shared.mapping.shapes import shape_of
from shared.mapping.words import Vocabulary
from shared.settings.streams import FieldSettings, StreamSettings

_PROJECTION = re.compile(r"(?P<list>.+(?:\[\]|\[\*\]|\[\?.*\]))(?:\.(?P<rest>[^\[\]|()]+))?")
_MAY_BE_FALSE = frozenset(("flag", "word", "value"))
_encode = msgspec.json.Encoder(order="sorted").encode

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """One mapped field: where it is found and what is made of its value."""

    spec: FieldSpec
    paths: tuple[Path, ...]
    constant: Any
    convert: Conversion

    def value(self, record: Any) -> Any:
        for path in self.paths:
            found = path.find(record)
            if found is False and self.spec.kind not in _MAY_BE_FALSE:
                found = None  # a condition that did not hold: name == 'mem' && used
            if found is not None:
                found = self.convert(found)
            if found is not None and found != "" and found != []:
                return found
        return self.constant


@dataclass(frozen=True, slots=True)
class _LineField:
    """A field of each line of a list: where the lines are, and where the field is in one.

    lines None: the mapped list of the workload itself, or the record, which is then one line.
    """

    field: _Field
    lines: Path | None
    single: Path | None


class RecordMapping:
    """How the records of one stream become what the workload reads. Immutable.

    digest : changes when records would be mapped otherwise; "" where nothing is mapped.
    """

    def __init__(
        self,
        fields: Sequence[_Field],
        lines: Mapping[str, Sequence[_LineField]],
        vocabularies: Sequence[tuple[FieldSpec, Vocabulary]],
        conversions: Sequence[tuple[FieldSpec, Conversion]],
        replaced: frozenset[str],
        digest: str,
    ) -> None:
        self._fields, self._lines, self._vocabularies = fields, lines, vocabularies
        self._conversions, self._replaced = conversions, replaced
        self._mapped = {field.spec.name for field in fields}
        self.digest = digest

    @property
    def mapped_names(self) -> frozenset[str]:
        """The workload's fields that this mapping finds, lines included."""
        in_lines = {line.field.spec.name for lines in self._lines.values() for line in lines}
        return frozenset(self._mapped | in_lines)

    def __call__(self, record: Fields, record_id: str = "") -> Fields:
        """The record with the workload's names laid over its own fields.

        record_id : what expressions find as `_id` where the record has no such field; of a path
            its last part, as references name it.

        A mapped field that is not found is not there; the other names under which the workload
        would have looked for it are taken out, so that nothing else is taken for it.
        """
        if not self.digest:
            return record
        found = {name: value for name, value in record.items() if name not in self._replaced}
        if record_id and "_id" not in record:
            record = {**record, "_id": record_id.rpartition("/")[2]}
        for field in self._fields:
            value = field.value(record)
            if value is not None:
                found[field.spec.name] = value
            elif field.spec.kind == "word":
                found[field.spec.name] = ""  # there is a word and nobody knows it
        for name, lines in self._lines.items():
            listed = _lines(record, lines, found.get(name))
            if listed is not None:
                found[name] = listed
        for spec, convert in self._conversions:
            if not spec.is_line_only:
                _convert_in_place(found, spec.names, convert)
            elif isinstance(found.get(spec.in_list), list):
                found[spec.in_list] = [
                    _converted(line, spec.names, convert) for line in found[spec.in_list]
                ]
        for spec, vocabulary in self._vocabularies:
            for name in (name for name in spec.names if found.get(name) is not None):
                before = found[name]
                meaning = vocabulary.translate(before, is_mapped=spec.name in self._mapped)
                if meaning is not before:
                    del found[name]
                    found[spec.name] = meaning
                break
        return found


def open_mappings(
    model: str,
    streams: Mapping[str, Sequence[FieldSpec]],
    settings: Mapping[str, StreamSettings],
    time_zone: str | None,
) -> Mapping[str, RecordMapping]:
    """The mapping of each stream of a model.

    Args:
        streams: what the workload reads from each, `Workload.read_fields`.
        settings: of the streams that the configuration says something of.
        time_zone: the source's.

    Raises:
        SettingsInvalid: as `open_mapping`, or a stream that the workload does not read.
    """
    where = f"models.{model}.streams"
    for name in settings:
        if name not in streams:
            raise SettingsInvalid(
                _unknown(f"{where}.{name}", "the workload reads no such stream", name, streams)
            )
    return {
        name: open_mapping(
            specs,
            settings.get(name, StreamSettings()),
            stream=name,
            where=f"{where}.{name}",
            time_zone=time_zone,
        )
        for name, specs in streams.items()
    }


UNMAPPED = RecordMapping((), {}, (), (), frozenset(), "")


def open_mapping(
    specs: Sequence[FieldSpec],
    settings: StreamSettings,
    *,
    stream: str,
    where: str,
    time_zone: str | None = None,
) -> RecordMapping:
    """The mapping of a stream.

    Args:
        specs: what the workload reads, `Workload.fields_of(stream)`.
        where: the place of the settings, "models.shop.streams.products", for messages.
        time_zone: the source's, for times without a zone.

    Raises:
        SettingsInvalid: unknown field, meaning, shape or unit; an expression that is none.
    """
    fields, words = dict(settings.fields), dict(settings.words)
    if settings.shape:
        shape = shape_of(settings.shape, stream, f"{where}.shape")
        known = {spec.name for spec in specs}
        fields = {name: each for name, each in shape.fields.items() if name in known} | fields
        words = _meanings_of(shape.words, specs) | words
    by_name = {spec.name: spec for spec in specs}
    zone = settings.time_zone or time_zone
    mapped: list[_Field] = []
    for name, field in fields.items():
        place = f"{where}.fields.{name}"
        if name not in by_name:
            raise SettingsInvalid(
                _unknown(place, "the workload reads no such field", name, by_name)
            )
        mapped.append(_mapped_field(by_name[name], field, settings, zone, place))
    lines: dict[str, list[_LineField]] = {}
    plain: list[_Field] = []
    for each in mapped:
        line = _line_field(each, f"{where}.fields.{each.spec.name}")
        if line is not None:
            lines.setdefault(each.spec.in_list, []).append(line)
        else:
            plain.append(each)
    vocabularies = _vocabularies(specs, words, {field.spec.name for field in plain}, where)
    is_mapped = {field.spec.name for field in mapped}
    replaced = {
        name for field in mapped for name in field.spec.names if not field.spec.is_line_only
    }
    replaced -= {spec.name for spec in specs} - is_mapped
    replaced |= {name for listed in lines if listed in by_name for name in by_name[listed].names}
    conversions = _of_stream(specs, is_mapped, settings, zone)
    if not (mapped or words or conversions):
        return UNMAPPED
    return RecordMapping(
        plain,
        lines,
        vocabularies,
        conversions,
        frozenset(replaced),
        _digest(fields, words, settings, zone),
    )


def _digest(
    fields: Mapping[str, FieldSettings],
    words: Mapping[str, Any],
    settings: StreamSettings,
    zone: str | None,
) -> str:
    settled = {name: field.model_dump(exclude_defaults=True) for name, field in fields.items()}
    content = _encode([settled, words, settings.decimal, zone])
    return hashlib.sha256(content).hexdigest()[:12]


def _mapped_field(
    spec: FieldSpec, field: FieldSettings, settings: StreamSettings, zone: str | None, place: str
) -> _Field:
    texts = (field.path,) if field.path else field.first
    convert = conversion_of(spec, field, settings.decimal, zone, place)
    return _Field(spec, tuple(Path(text, place) for text in texts), field.constant, convert)


def _line_field(field: _Field, place: str) -> _LineField | None:
    """The field as one of each line; None where it is one of the record."""
    spec = field.spec
    if not spec.in_list:
        return None
    parts = [_PROJECTION.fullmatch(path.text.strip()) for path in field.paths]
    if len(parts) == 1 and parts[0] is not None:
        listed, rest = parts[0]["list"], parts[0]["rest"]
        inner = _Field(spec, (Path(rest or "@", place),), None, field.convert)
        single = re.sub(r"(\[\]|\[\*\])$", "", listed)
        try:
            return _LineField(inner, Path(listed, place), Path(single, place))
        except SettingsInvalid:
            pass  # the bracket stands inside a function: it is evaluated as a whole
    if not spec.is_line_only:
        return None
    return _LineField(field, None, None)


def _lines(record: Fields, fields: Sequence[_LineField], mapped: Any) -> list[Any] | None:
    """The list of lines of a record, each an object with the workload's names; None: none there."""
    rows: list[dict[str, Any]] = []
    for line in fields:
        if not line.field.paths:
            continue
        items = _items(record, line, mapped)
        rows += [{} for _ in range(len(items) - len(rows))]
        for row, item in zip(rows, items, strict=False):
            value = line.field.value(item)
            if value is not None:
                row[line.field.spec.name] = value
    rows = [row for row in rows if row]
    for line in fields:
        if not line.field.paths:
            for row in rows:
                row[line.field.spec.name] = line.field.constant
    return rows or None


def _items(record: Fields, line: _LineField, mapped: Any) -> list[Any]:
    if line.lines is None or line.single is None:
        if isinstance(mapped, list):
            return mapped
        return [mapped] if isinstance(mapped, Mapping) else [record]
    found = line.lines.find(record)
    if isinstance(found, list):
        return found
    single = line.single.find(record)  # one line alone is often no list
    return [] if single is None or isinstance(single, list) else [single]


def _vocabularies(
    specs: Sequence[FieldSpec], words: Mapping[str, Any], mapped: set[str], where: str
) -> list[tuple[FieldSpec, Vocabulary]]:
    known = {meaning: spec for spec in specs for meaning in spec.meanings}
    for meaning in words:
        if meaning not in known:
            raise SettingsInvalid(
                _unknown(f"{where}.words.{meaning}", "no field has such a meaning", meaning, known)
            )
    return [
        (spec, Vocabulary({m: words[m] for m in spec.meanings if m in words}, spec.meanings))
        for spec in specs
        if spec.meanings and (spec.name in mapped or spec.meanings.keys() & words.keys())
    ]


def _meanings_of(words: Mapping[str, Any], specs: Sequence[FieldSpec]) -> dict[str, Any]:
    known = {meaning for spec in specs for meaning in spec.meanings}
    return {meaning: found for meaning, found in words.items() if meaning in known}


def _of_stream(
    specs: Sequence[FieldSpec], mapped: set[str], settings: StreamSettings, zone: str | None
) -> list[tuple[FieldSpec, Conversion]]:
    """What a zone or decimal sign of the whole stream makes of fields that are not mapped."""
    if zone is None and settings.decimal is None:
        return []
    found = []
    for spec in specs:
        is_converted = (spec.kind == "time" and zone) or (
            spec.kind == "number" and settings.decimal
        )
        if is_converted and spec.name not in mapped:
            convert = conversion_of(spec, None, settings.decimal, zone, "")
            found.append((spec, convert))
    return found


def _convert_in_place(
    found: dict[str, Any], names: Sequence[str], convert: Callable[[Any], Any]
) -> None:
    for name in names:
        if found.get(name) is not None:
            found[name] = convert(found[name])


def _converted(line: Any, names: Sequence[str], convert: Callable[[Any], Any]) -> Any:
    if not isinstance(line, Mapping):
        return line
    copy = dict(line)
    _convert_in_place(copy, names, convert)
    return copy


def _unknown(place: str, problem: str, name: str, known: Mapping[str, Any]) -> str:
    folded = {each.casefold().replace("_", ""): each for each in known}
    close = get_close_matches(name.casefold().replace("_", ""), folded, n=1, cutoff=0.6)
    hint = f" did you mean {folded[close[0]]}?" if close else ""
    listed = ", ".join(known) or "none"
    return f"{place}: {problem};{hint} There are: {listed}."
