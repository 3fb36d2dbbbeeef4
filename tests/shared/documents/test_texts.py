"""Texts of foreign documents: what is the same, and by what pieces likeness is measured."""

from __future__ import annotations

from shared.documents.texts import comparable, tidy, word_key

SAME = [
    "Oil filter", "OIL FILTER", " oil  filter ", "Oil\u00a0filter", "Oil\u200b filter",
    "\ufeffOil filter", "Oil fil\u00adter", "Ｏｉｌ ｆｉｌｔｅｒ", "Oil\u3000filter",
    "\u202aOil filter\u202c", "Oil\tfilter\n",
    "Oil \ufb01lter", "Oil\u2060 filter",
]  # fmt: skip


def test_spellings_that_people_cannot_tell_apart_are_one() -> None:
    """A zero-width blank from a web page would otherwise make two parts of one."""
    assert {comparable(text) for text in SAME} == {"oil filter"}
    assert comparable("Zu\u0308rich") == comparable("ZÜRICH")
    assert comparable("ﾌｨﾙﾀ") == comparable("フィルタ")
    assert comparable("STRASSE") == comparable("straße")
    assert comparable("m²") == comparable("m2")
    assert comparable("Öl") != comparable("Ol"), "an accent is a letter of its own"


def test_a_text_is_shown_as_it_was_written_but_for_what_nobody_sees() -> None:
    """Width and letter case stay for people; a lone surrogate fits into no file."""
    assert tidy("\ufeff Ö-Ｆilter\u200b  ²") == "Ö-Ｆilter ²"
    assert tidy("a\ud800b\x00") == "a?b"


def test_a_word_is_its_letters() -> None:
    """Trackers write one event in all of these ways."""
    ways = ("Add to Cart", "add_to_cart", "addToCart", "ADD-TO-CART")

    assert {word_key(text) for text in ways} == {"addtocart"}
