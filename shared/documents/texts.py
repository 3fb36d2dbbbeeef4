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
