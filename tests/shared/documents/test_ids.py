"""Ids of foreign documents: which are one, and which mean nobody."""

from __future__ import annotations

from typing import Any

from shared.documents.ids import id_of_several, read_id, read_person

UUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"

READ: list[tuple[Any, str | None]] = [
    (7, "7"), (7.0, "7"), ("7", "7"), ("7.0", "7"), (" 7 ", "7"), ({"$numberLong": "7"}, "7"),
    ("007", "007"), ("7.50", "7.50"), ("a7", "a7"), ("A7", "A7"), (-1, "-1"), (0, "0"),
    (2**60, str(2**60)), (float(2**60), None), (7.5, None), (True, None), (None, None), ("", None),
    (" \u200b", None), ([], None), ({}, None), (float("nan"), None), (10**400, None),
    ("oil\u00a0 filter\ufeff", "oil filter"), ("Zu\u0308rich", "Z\u00fcrich"),
    (UUID.upper(), UUID), ("{" + UUID + "}", UUID),
    ("urn:uuid:" + UUID, UUID), ({"$uuid": UUID}, UUID),
    ({"$oid": "507F1F77BCF86CD799439011"}, "507f1f77bcf86cd799439011"),
    ("507f1f77bcf86cd799439011", "507f1f77bcf86cd799439011"),
    ({"id": 7, "name": "x"}, "7"), ({"_id": {"$oid": "507f1f77bcf86cd799439011"}},
                                    "507f1f77bcf86cd799439011"),
    ({"$ref": "users", "$id": 7}, "7"), ({"collection": "users", "id": "7"}, "7"),
    ({"_path": {"segments": ["users", "u7"]}}, "u7"), ({"__ref__": "users/u7"}, "u7"),
    ({"__datatype__": "documentReference", "value": "users/u7"}, "u7"),
    ("projects/p/databases/(default)/documents/users/u7", "u7"), ("users/u7", "users/u7"),
    (["shop", 7.0], "shop|7"), (["a|b", "c"], "a%7Cb|c"), (["a", None], None), ([["x"]], "x"),
    ("\ud800", "?"),
]  # fmt: skip

NOBODY: list[Any] = [
    0, 0.0, "0", "0.0", "", None, -1, "-1", "null", "NULL", "undefined", "None", "nan", "guest",
    "Guest", "anonymous", "ANONYMOUS", "00000000-0000-0000-0000-000000000000", "0" * 24, "n/a",
    "(not set)", "unknown", False, {"id": 0}, [], "[object Object]",
]  # fmt: skip


def test_an_id_is_one_however_it_is_written() -> None:
    """A library that makes 7 to 7.0 must not make two products of one."""
    assert [(value, read_id(value)) for value, _ in READ] == READ


def test_an_id_that_means_nobody_is_nobody() -> None:
    """Else all guests are one customer, who buys everything."""
    assert [(value, read_person(value)) for value in NOBODY] == [(value, None) for value in NOBODY]
    assert [read_person(value) for value in (7, "u0", "guest-12", "10", "-12")] == [
        "7", "u0", "guest-12", "10", "-12",
    ]  # fmt: skip


def test_several_fields_are_one_id_that_no_other_values_give() -> None:
    """An order's line is known by its order and number; "a|b" and "a", "b" differ."""
    assert id_of_several(["a|b", "c"]) != id_of_several(["a", "b|c"])
    assert id_of_several([1, "x"]) == id_of_several([1.0, "x"])
    assert id_of_several([1, ""]) is None
