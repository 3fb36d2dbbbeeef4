"""Records of foreign applications become what a workload reads, by configuration alone."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import SettingsInvalid
from shared.mapping.fields import RecordMapping, open_mapping, open_mappings
from shared.settings.streams import StreamSettings
from shared.workloads import open_workload

WORKLOADS = {
    "appointments": open_workload("spare_parts", {}),
    "metrics": open_workload("server_metrics", {}),
    "products": open_workload("product_similarity", {}),
    "interactions": open_workload("product_recommender", {}),
    "readings": open_workload("solar_power", {}),
}


def mapping(stream: str, **settings: Any) -> RecordMapping:
    return open_mapping(
        WORKLOADS[stream].fields_of(stream),
        StreamSettings.model_validate(settings),
        stream=stream,
        where=f"models.m.streams.{stream}",
    )


LINES = [{"label": "A", "qty": 2}, {"label": "B", "qty": None}]


@pytest.mark.parametrize(
    ("stream", "settings", "record", "expected"),
    [
        # where a field is
        ("readings", {"fields": {"power": "P"}}, {"P": 5}, {"power": 5}),
        (
            "readings",
            {"fields": {"power": "ac.out[0].w"}},
            {"ac": {"out": [{"w": 5}]}},
            {"power": 5},
        ),
        ("readings", {"fields": {"power": "AC Power"}}, {"AC Power": 5}, {"power": 5}),
        ("readings", {"fields": {"power": "ac-power"}}, {"ac-power": 5}, {"power": 5}),
        ("readings", {"fields": {"power": "ac.power"}}, {"ac.power": 5}, {"power": 5}),
        ("readings", {"fields": {"power": "Leistung (W)"}}, {"Leistung (W)": 5}, {"power": 5}),
        ("readings", {"fields": {"power": '"Größe"'}}, {"Größe": 5}, {"power": 5}),
        (
            "readings",
            {"fields": {"status": {"constant": "online"}}},
            {"status": "Generating"},
            {"status": "online"},
        ),
        (
            "products",
            {"fields": {"name": {"first": ["title", "name.en"]}}},
            {"title": "", "name": {"en": "tea"}},
            {"name": "tea"},
        ),
        # what is mapped and not there is not there, whatever else the workload would have taken
        ("products", {"fields": {"name": "label"}}, {"title": "wrong"}, {"name": None}),
        ("interactions", {"fields": {"type": "verb"}}, {"event": "view"}, {"type": ""}),
        # lines of a list
        (
            "appointments",
            {"fields": {"name": "lines[].label", "quantity": "lines[].qty"}},
            {"lines": LINES},
            {"spareParts": [{"name": "A", "quantity": 2}, {"name": "B"}]},
        ),
        (
            "appointments",
            {"fields": {"spareParts": "job.lines", "name": "label", "quantity": "qty"}},
            {"job": {"lines": LINES}},
            {"spareParts": [{"name": "A", "quantity": 2}, {"name": "B"}]},
        ),
        (
            "appointments",
            {"fields": {"name": "lines[?qty].label", "quantity": "lines[?qty].qty"}},
            {"lines": LINES},
            {"spareParts": [{"name": "A", "quantity": 2}]},
        ),
        (
            "appointments",
            {"fields": {"name": "lines[].label"}},
            {"lines": LINES[0]},
            {"spareParts": [{"name": "A"}]},
        ),
        (
            "appointments",
            {"fields": {"name": "parts[]", "quantity": {"constant": 1}}},
            {"parts": ["A", "B"]},
            {"spareParts": [{"name": "A", "quantity": 1}, {"name": "B", "quantity": 1}]},
        ),
        (
            "appointments",
            {"fields": {"name": "names[]", "quantity": "counts[]"}},
            {"names": ["A", "B"], "counts": [2, 3]},
            {"spareParts": [{"name": "A", "quantity": 2}, {"name": "B", "quantity": 3}]},
        ),
        (
            "appointments",
            {"fields": {"name": "part", "quantity": "n"}},
            {"part": "A", "n": 3, "spareParts": "wrong"},
            {"spareParts": [{"name": "A", "quantity": 3}]},
        ),
        (
            "appointments",
            {"fields": {"spareParts": "split(parts, ',')"}},
            {"parts": "A, B"},
            {"spareParts": ["A", "B"]},
        ),
        (
            "interactions",
            {"fields": {"product_id": "items[].item_id"}},
            {"product_id": "wrong", "items": [{"item_id": 7}]},
            {"product_id": None, "items": [{"product_id": 7}]},
        ),
        # words
        (
            "appointments",
            {"words": {"complete": "paid"}},
            {"status": " PAID "},
            {"status": "complete"},
        ),
        (
            "appointments",
            {"words": {"complete": ["Ｄｏｎｅ"]}},
            {"status": "done"},
            {"status": "complete"},
        ),
        ("appointments", {"words": {"complete": [3]}}, {"status": 3.0}, {"status": "complete"}),
        (
            "appointments",
            {"words": {"complete": [3]}},
            {"status": "completed"},
            {"status": "not complete"},
        ),
        ("appointments", {"words": {"complete": [True]}}, {"status": 1}, {"status": "complete"}),
        (
            "appointments",
            {"words": {"complete": ["done"]}},
            {"status": {"id": 4, "name": "Done"}},
            {"status": "complete"},
        ),
        ("appointments", {"fields": {"status": "ok"}}, {"ok": True}, {"status": "complete"}),
        (
            "products",
            {"words": {"approved": [1]}},
            {"state": 1},
            {"status": "approved", "state": None},
        ),
        ("products", {"words": {"approved": [2]}}, {"status": 1}, {"status": "not approved"}),
        (
            "interactions",
            {"words": {"purchase": ["sold"]}},
            {"event": "sold"},
            {"type": "purchase"},
        ),
        # numbers and times as they are written
        (
            "readings",
            {"fields": {"power": {"path": "P", "missing": [65535]}}},
            {"P": "65535"},
            {"power": None},
        ),
        (
            "readings",
            {"fields": {"power": {"path": "P", "missing": [65535]}}},
            {"P": 6553.5},
            {"power": 6553.5},
        ),
        (
            "readings",
            {"fields": {"power": {"path": "P", "unit": "kW"}}},
            {"P": "1.5"},
            {"power": 1500},
        ),
        (
            "appointments",
            {"decimal": ","},
            {"spareParts": [{"name": "A", "quantity": "1,250"}]},
            {"spareParts": [{"name": "A", "quantity": 1.25}]},
        ),
        ("readings", {"decimal": ","}, {"power": "1,250"}, {"power": 1.25}),
        (
            "readings",
            {"fields": {"power": {"path": "P", "decimal": "."}}},
            {"P": "1,250"},
            {"power": 1250},
        ),
        (
            "metrics",
            {"fields": {"cpu": {"path": "c", "unit": "fraction"}}},
            {"c": 0.5},
            {"cpu": 50},
        ),
        (
            "readings",
            {"fields": {"temperature": {"path": "t", "unit": "°F"}}},
            {"t": "212"},
            {"temperature": 100},
        ),
        (
            "products",
            {"fields": {"price": {"path": "p", "unit": "cents"}}},
            {"p": 450},
            {"price": 4.5},
        ),
        (
            "products",
            {"fields": {"price": {"path": "p", "unit": "EUR"}}},
            {"p": "4.50"},
            {"price": 4.5},
        ),
        (
            "appointments",
            {"fields": {"date": {"path": "d", "format": "%d/%m/%y"}}},
            {"d": "03/04/25"},
            {"date": "2025-04-03"},
        ),
        (
            "appointments",
            {"fields": {"date": {"path": "d", "format": "%d/%m/%y"}}},
            {"d": "2025/04/03"},
            {"date": None},
        ),
        (
            "appointments",
            {"time_zone": "Europe/Berlin"},
            {"date": "2025-07-01 23:30:00"},
            {"date": "2025-07-01T23:30:00+02:00"},
        ),
        (
            "appointments",
            {"time_zone": "Europe/Berlin"},
            {"date": "2025-07-01"},
            {"date": "2025-07-01"},
        ),
        (
            "readings",
            {"fields": {"timestamp": {"path": "t", "unit": "ms"}}},
            {"t": 1764151200000},
            {"timestamp": "2025-11-26T10:00:00+00:00"},
        ),
        (
            "readings",
            {"fields": {"timestamp": {"path": "t", "time_zone": "Asia/Kolkata"}}},
            {"t": "2025-11-26 15:30:00"},
            {"timestamp": "2025-11-26T15:30:00+05:30"},
        ),
    ],
)
def test_a_record_is_mapped(
    stream: str, settings: dict[str, Any], record: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Each row is a way in which somebody's data differ from ours; their own fields stay."""
    before = repr(record)

    found = mapping(stream, **settings)(record)

    assert {name: found.get(name) for name in expected} == expected
    assert repr(record) == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fields": {"quantitty": "x"}}, "fields.quantitty: .* did you mean quantity"),
        ({"fields": {"quantity": "a[.x"}}, "fields.quantity: expected a JMESPath expression"),
        ({"fields": {"quantity": "tims(a, b)"}}, r"fields.quantity: there is no function tims\(\)"),
        ({"fields": {"quantity": "times(a)"}}, "fields.quantity: times.* takes 2 values, found 1"),
        ({"fields": {"quantity": {"path": "a", "unit": "kW"}}}, "quantity.unit: expected a unit"),
        ({"fields": {"date": {"path": "a", "unit": "years"}}}, "date.unit: expected one of s, ms"),
        (
            {"fields": {"status": {"path": "a", "unit": "s"}}},
            "fields.status.unit: status is a word and has no unit",
        ),
        ({"words": {"completed": ["x"]}}, "words.completed: .* did you mean complete"),
        ({"shape": "woocomerce"}, "shape: expected a shape for appointments"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_with_what_there_is(
    settings: dict[str, Any], sentence: str
) -> None:
    """A misspelt field that is silently ignored is a model of nothing."""
    with pytest.raises(SettingsInvalid, match=sentence):
        mapping("appointments", **settings)


def test_a_stream_that_the_workload_does_not_read_is_refused() -> None:
    """Its mapping would be ignored, and the stream's own name be read instead."""
    fields = WORKLOADS["appointments"].read_fields

    with pytest.raises(SettingsInvalid, match=r"streams.apointments: .*did you mean appointments"):
        open_mappings("m", fields, {"apointments": StreamSettings()}, None)


def test_a_stream_without_a_mapping_is_given_on_as_it_is() -> None:
    """Most streams have none; they cost nothing, and their origin does not change."""
    record = {"status": "completed"}
    plain = mapping("appointments", collection="jobs", id_field=["a", "b"])

    assert plain(record) is record
    assert plain.digest == ""
    assert mapping("appointments", words={"complete": ["x"]}).digest


@pytest.mark.parametrize("stream", ["appointments", "products", "interactions", "readings"])
def test_the_usual_names_of_a_field_are_those_that_the_workload_reads(stream: str) -> None:
    """The declaration says where a field is looked for; a name that is not read misleads."""
    whole: dict[str, dict[str, Any]] = {
        "appointments": {"status": "completed", "date": "2025-11-26", "spareParts": ["A"]},
        "products": {"name": "tea"},
        "interactions": {"user_id": "u", "product_id": "p", "type": "rate", "rating": 5},
        "readings": {
            "device_id": "d", "timestamp": "2025-11-26T10:00:00Z", "status": "online", "power": 1,
        },
    }  # fmt: skip
    workload, record = WORKLOADS[stream], whole[stream]
    assert workload.reject_reason(stream, record) is None

    for spec in workload.fields_of(stream):
        if not spec.is_needed:
            continue
        rest = {name: value for name, value in record.items() if name != spec.name}
        assert workload.reject_reason(stream, rest) is not None, spec.name
        for name in spec.usual:
            renamed = {**rest, name: record[spec.name]}
            assert workload.reject_reason(stream, renamed) is None, f"{spec.name} as {name}"
