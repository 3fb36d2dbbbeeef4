"""Make texts of foreign documents comparable: Unicode forms, format characters, white space.

Knows no field, no workload and no language.
"""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u070f\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""Control and format characters: zero width, soft hyphen, byte order mark, direction marks."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
_WORD = re.compile(f"[{_UNSPACED}]+|[^\\W_{_UNSPACED}]+")
_SHORTEST_STEM = 4
_GRAM = 4


def tidy(text: str) -> str:
    """A text as people see it: no character that has no shape, one blank between words.

    >>> tidy(" Oil\\u200b   fil\\u00adter\\ufeff ")
    'Oil filter'
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    # A lone surrogate is valid in JSON and in no file.
    seen = _UNSEEN.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def comparable(text: str) -> str:
    """The form in which texts are compared: NFKC, without case, tidied.

    Two spellings that differ in full and half width, ligatures, composed accents, letter case,
    white space or characters without a shape are the same.

    >>> comparable("ＯＩＬ\\u00a0Ｆｉｌｔｅｒ") == comparable("oil filter")
    True
    """
    if text.isascii():
        return tidy(text).casefold()
    return unicodedata.normalize("NFKC", tidy(unicodedata.normalize("NFKC", text)).casefold())


def word_key(text: str) -> str:
    """A word as its letters and digits alone: "Add to cart", "add_to_cart", "AddToCart" are one.

    >>> word_key(" Add-to_Cart ")
    'addtocart'
    """
    return re.sub(r"[\W_]+", "", comparable(text))


def similarity_tokens(text: str) -> list[str]:
    """What a text is compared by where likeness counts: words, and pieces of words.

    A word of more than `_SHORTEST_STEM` letters also gives its n-grams, so that inflected and
    compound words share some ("Lampe", "Lampen", "Tischlampe"). Scripts that write no blanks
    between words give single characters and pairs. Character n-grams for such languages: McNamee
    and Mayfield, Information Retrieval 7 (2004) 73-97.

    >>> similarity_tokens("Red lamps"), similarity_tokens("緑茶碗")
    (['red', 'lamps', '#lamp', '#amps'], ['緑', '茶', '碗', '緑茶', '茶碗'])
    """
    found: list[str] = []
    for match in _WORD.finditer(comparable(text)):
        word = match[0]
        if _UNSPACED_RUN.match(word):
            found += word
            found += (word[at : at + 2] for at in range(len(word) - 1))
            continue
        found.append(word)
        if len(word) > _SHORTEST_STEM and not word.isdecimal():
            # Marked, so that a piece is never taken for a whole word.
            found += (f"#{word[at : at + _GRAM]}" for at in range(len(word) - _GRAM + 1))
    return found
