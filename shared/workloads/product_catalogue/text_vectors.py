"""TF-IDF vectors of names, descriptions and categories. Training half only.

scikit-learn is imported by who fits; what serves is the neighbours, not the vectors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.documents.texts import comparable

_MAX_WORDS = 50_000
_COMMON = 0.3
"""A word that more than this share of the products has tells nothing apart."""
_OFTEN, _MOST_COMMON = 0.05, 128
"""Words of more than this share of the products are common, but at most so many words."""
_FEW_PRODUCTS = 20  # below, shares are no measure: three of ten may be one category


@dataclass(frozen=True, slots=True)
class WordVectors:
    """matrix : (n_products, n_words) sparse float32, rows of length 1, or 0 where no word counts.

    vectorizer : what made it; None where no product has a word.
    is_rare : (n_words,) whether few products have the word.
    rare : (n_rare, n_products) sparse; common : (n_common, n_products) dense. Together they are
        `matrix` transposed: the few words that many products share make a sparse product slow.
    """

    matrix: Any
    vectorizer: Any
    is_rare: NDArray[np.bool_]
    rare: Any
    common: NDArray[np.float32]

    @classmethod
    def fit(
        cls, names: Sequence[str], words: Sequence[str], categories: Sequence[str]
    ) -> WordVectors:
        """Count each product's name twice: it is short and says most.

        Sublinear term frequency and inverse document frequency as in Manning, Raghavan and
        Schütze, Introduction to Information Retrieval (2008), section 6.4.
        """
        from scipy import sparse
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [
            f"{text} {category}"
            for text, category in zip(product_texts(names, words), categories, strict=True)
        ]
        vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            analyzer=terms,
            max_features=_MAX_WORDS,
            max_df=_COMMON if len(texts) >= _FEW_PRODUCTS else 1.0,
            dtype=np.float32,
        )
        try:
            matrix = sparse.csr_matrix(vectorizer.fit_transform(texts))
        except ValueError:  # what scikit-learn raises when no word is left
            matrix, vectorizer = sparse.csr_matrix((len(texts), 1), dtype=np.float32), None
        n_having = np.bincount(matrix.indices, minlength=matrix.shape[1])
        is_rare = n_having <= max(_OFTEN * len(texts), np.sort(n_having)[-_MOST_COMMON:][0])
        common = np.ascontiguousarray(matrix[:, ~is_rare].toarray().T)
        return cls(matrix, vectorizer, is_rare, matrix[:, is_rare].T.tocsr(), common)

    def of(self, texts: Sequence[str]) -> Any:
        """(n_texts, n_words) sparse: other texts in the same words."""
        from scipy import sparse

        if self.vectorizer is None:
            return sparse.csr_matrix((len(texts), 1), dtype=np.float32)
        return sparse.csr_matrix(self.vectorizer.transform(texts))


def terms(text: str) -> list[str]:
    """What a text is compared by: its words, and of long ones their beginning and end, so that
    inflected words and compounds meet; of scripts that set no spaces, pairs of characters.

    >>> terms("Gartenstühle aus Holz")
    ['gartenstühle', 'garte-', '-tühle', 'aus', 'holz']
    >>> terms("木製の椅子")
    ['木製', '製の', 'の椅', '椅子']
    """
    found: list[str] = []
    for word in _WORD.findall(comparable(text)):
        if _UNSPACED.match(word):
            found += [word[at : at + 2] for at in range(max(len(word) - 1, 1))]
            continue
        found.append(word)
        if len(word) > _LONG and word.isalpha():
            found += [f"{word[:_PIECE]}-", f"-{word[-_PIECE:]}"]
    return found


_PIECE, _LONG = 5, 6
# Han, Kana, Thai, Lao, Khmer and Burmese; what stands between others is a word of two characters.
_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_SCRIPTS}]+|[^\W{_SCRIPTS}]{{2,}}")
_UNSPACED = re.compile(rf"[{_SCRIPTS}]")


def product_texts(names: Sequence[str], words: Sequence[str]) -> list[str]:
    """What is compared of each product, without its category."""
    return [f"{name} {name} {text}" for name, text in zip(names, words, strict=True)]
