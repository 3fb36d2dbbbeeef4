"""Lists that a column keeps as a text, and texts of other programs."""

from __future__ import annotations

from typing import Any

import pytest

from shared.documents.json_texts import is_of_a_program, read_json_text

LINES = [{"name": "Oil", "quantity": None}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"name": "Oil", "quantity": null}]', LINES),
        (' [{"name": "Oil", "quantity": NaN}]', LINES),
        ('"[{\\"name\\": \\"Oil\\", \\"quantity\\": null}]"', LINES),
        ("[{'name': 'Oil', 'quantity': None}]", LINES),
        ("[" * 50_000, "[" * 50_000),
        ("[__import__('os').getcwd()]", "[__import__('os').getcwd()]"),
        ("[OEM] Oil", "[OEM] Oil"),
        ("Oil", "Oil"),
        (7, 7),
    ],
)  # fmt: skip
def test_a_list_in_a_text_is_read_however_it_was_written(text: Any, found: Any) -> None:
    """A list that was made a text twice, or printed by Python, became one part of that name."""
    assert read_json_text(text) == found


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('a:1:{i:0;a:1:{s:4:"name";s:3:"Oil";}}', True),
        ('O:8:"stdClass":0:{}', True),
        ("<parts><part/></parts>", True),
        ('[{"name": "Oi', True),
        ("--- \\n- Oil", True),
        ("[OEM] Oil filter", False),
        ("A: Oil", False),
        ("Oil <5W30>", False),
    ],
)
def test_a_structure_of_another_program_is_no_name(text: str, is_one: bool) -> None:
    """A serialised list must not be forecast as a part."""
    assert is_of_a_program(text) is is_one
