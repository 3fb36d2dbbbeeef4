"""Learn the type, range and vocabulary of each column, and code its values as numbers.

The same rows give the same columns. Knows no target, no estimator and no request.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.numbers import NumberPolicy
from shared.documents.texts import tidy
from shared.errors import SettingsInvalid
from shared.workloads.rows import FeatureSpec, RowContract, code_of
from shared.workloads.tabular.model import UNKNOWN_TEXT
from shared.workloads.tabular.parameters import WHERE, ColumnSettings, Task
from shared.workloads.tabular.records import (
    PLAIN,
    are_numbers,
    is_missing,
    looks_like_date,
    number_column,
    read_number,
    read_text,
)
from shared.workloads.text_rows import TextTable

Dtype = Literal["float64", "int64", "bool", "category", "text"]
_PLAIN = {int, float, bool, type(None)}
_FEWEST_TEXTS = 20
_WORDS_OF_A_TEXT = 4


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A feature as it was learnt.

    low, high : the range of the training rows, or as it was said; None for categories and texts.
    vocabulary : of a category, the texts that are told apart, sorted; code i is the i-th.
    is_required : null is refused.
    """

    name: str
    dtype: Dtype
    unit: str = ""
    low: float | None = None
    high: float | None = None
    vocabulary: list[str] = []
    is_required: bool = False

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec(self.name, self.dtype, self.unit, self.low, self.high)


def contract_of(columns: Sequence[Column]) -> RowContract:
    """How rows with these columns become a matrix."""
    codes = {
        column.name: {text: float(i) for i, text in enumerate(column.vocabulary)}
        for column in columns
        if column.dtype == "category"
    }
    return RowContract(tuple(column.spec for column in columns), codes)


def learn_type(name: str, values: Sequence[Any], override: ColumnSettings) -> Dtype:
    """The type that is said, else the one that most of the values have.

    Raises:
        SettingsInvalid: the column is no feature as it stands: dates, lists.
    """
    if override.type is not None:
        return override.type
    types = Counter(map(type, values))
    texts = Counter(value for value in values if isinstance(value, str) and value.strip())
    is_number = are_numbers(texts)
    n_number_texts = sum(n for text, n in texts.items() if is_number(text))
    n_missing = sum(n for text, n in texts.items() if is_missing(text))
    n_dates = sum(n for text, n in texts.items() if looks_like_date(text))
    n_numbers = types[int] + types[float] + types[bool] + n_number_texts
    n_texts = texts.total() - n_number_texts - n_missing
    n_nested = types[list] + types[dict]
    n_values = n_numbers + n_texts + n_nested
    if n_nested * 2 > n_values:
        raise SettingsInvalid(
            f"{WHERE}: features: {name} holds lists or objects, which are no feature; make a"
            " column of what matters in them."
        )
    if n_dates * 2 > n_values:
        raise SettingsInvalid(
            f"{WHERE}: features: {name} holds dates, which are no feature as they stand; make"
            " numbers of them (hour, weekday, age in days) in a column of their own, name the"
            f' row\'s own time in "time", or say {name} = {{type = "category"}}.'
        )
    if (n_texts * 2 >= n_values and n_values) or (n_missing and not n_values):
        return "text" if _are_free(texts) else "category"
    if types[bool] and n_numbers == types[bool]:
        return "bool"
    is_whole = not types[float] and all(
        text.strip().lstrip("+-").isdigit() for text in texts if is_number(text)
    )
    return "int64" if is_whole and n_numbers else "float64"


def _are_free(texts: Counter[str]) -> bool:
    """Whether texts are written anew each time: most occur once; or they are sentences, of which
    hardly any comes often."""
    n = texts.total()
    if n < _FEWEST_TEXTS:
        return False
    if sum(count for count in texts.values() if count == 1) * 2 > n:
        return True
    n_words = sum(len(text.split()) * count for text, count in texts.items())
    return n_words >= _WORDS_OF_A_TEXT * n and len(texts) * 5 > n


def learn_task(values: Sequence[Any]) -> Task:
    """What a target's values mean where nobody said it: texts that are no numbers are labels."""
    texts = Counter(value for value in values if isinstance(value, str) and value.strip())
    is_number = are_numbers(texts)
    n_labels = sum(n for text, n in texts.items() if not (is_missing(text) or is_number(text)))
    n_values = sum(value is not None and not isinstance(value, str) for value in values)
    n_values += sum(n for text, n in texts.items() if not is_missing(text))
    return "classification" if n_labels * 2 > n_values else "regression"


def learn_vocabulary(values: Sequence[Any], max_categories: int) -> list[str]:
    """The texts of a category, sorted; beyond `max_categories` the most frequent ones."""
    counts = Counter(text for text in map(_category, values) if text is not None)
    counts.pop(UNKNOWN_TEXT, None)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return sorted(text for text, _ in most[:max_categories])


def _category(value: Any) -> str | None:
    """One spelling for each Unicode form of a text; None for what is none."""
    text = read_text(value) if value is not None else None
    return None if text is None else tidy(text)


def learn_numbers(name: str, values: Sequence[Any], role: str = "features") -> NumberPolicy:
    """How the numbers of a column are written.

    Raises:
        SettingsInvalid: some can be read two ways, or are in several units; nothing is guessed.
    """
    found = number_column(values)
    if found.problem and (found.n_ambiguous or "several units" in found.problem):
        raise SettingsInvalid(
            f"{WHERE}: {role}: {name}: {found.problem} (in"
            f' [models.<model>.streams.records.fields], {name} = {{ path = "{name}", … }}).'
        )
    return found.policy


def read_column(
    dtype: Dtype,
    vocabulary: Sequence[str],
    values: Sequence[Any],
    policy: NumberPolicy = PLAIN,
    table: TextTable | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values as numbers.

    table : where the texts of a text column go.

    Returns:
        (n,) float64: numbers, codes of a category (UNKNOWN_CATEGORY beyond the vocabulary), or
        places in the table; NaN for null and for what cannot be read. (n,) bool: what is there and
        cannot be read.
    """
    if dtype == "text":
        assert table is not None
        return _read_texts(values, table.place)
    if dtype == "category":
        return _read_category(vocabulary, values)
    if set(map(type, values)) <= _PLAIN:
        try:
            found = np.array(values, dtype=np.float64)
            return found, np.zeros(len(values), dtype=np.bool_)
        except OverflowError:
            pass
    read = [read_number(value, policy) for value in values]
    is_bad = np.fromiter((number is None for number in read), np.bool_, len(read))
    numbers = (math.nan if number is None else number for number in read)
    return np.fromiter(numbers, np.float64, len(read)), is_bad


def _read_category(
    vocabulary: Sequence[str], values: Sequence[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    codes = {text: float(i) for i, text in enumerate(vocabulary)}
    return _read_texts(values, lambda text: code_of(codes, text))


def _read_texts(
    values: Sequence[Any], number_of: Callable[[str], float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found = np.full(len(values), math.nan)
    is_bad = np.zeros(len(values), dtype=np.bool_)
    for i, value in enumerate(values):
        text = read_text(value) if value is not None else None
        if text is not None:
            found[i] = number_of(text)
        else:
            is_bad[i] = value is not None
    return found, is_bad


def finish_column(
    name: str,
    dtype: Dtype,
    vocabulary: Sequence[str],
    numbers: NDArray[np.float64],
    override: ColumnSettings,
    *,
    takes_null: bool,
) -> Column:
    """The column with its range, from the rows that are learnt from.

    numbers : (n_rows,) as `read_column` gives them. takes_null : whether the estimator takes null
        in any column; else only where these rows have it.
    """
    is_required = not takes_null and dtype != "text" and not bool(np.isnan(numbers).any())
    if override.required is not None:
        is_required = override.required
    low, high = _range(dtype, numbers, override)
    return Column(
        name=name,
        dtype=dtype,
        unit=override.unit,
        low=low,
        high=high,
        vocabulary=list(vocabulary),
        is_required=is_required,
    )


def narrowed(column: Column, numbers: NDArray[np.float64], override: ColumnSettings) -> Column:
    """The column as fewer rows teach it: their range, and of a category the texts they hold.

    numbers : (n_rows,) of these rows, coded as `column` says. Whether null is refused stays: a
    row that is judged may hold what no row to learn from did.
    """
    held: list[str] = []
    if column.vocabulary:
        codes = np.unique(numbers[numbers >= 0]).astype(np.int64)
        held = [column.vocabulary[code] for code in codes]
    low, high = _range(column.dtype, numbers, override)
    return msgspec.structs.replace(column, vocabulary=held, low=low, high=high)


def _range(
    dtype: Dtype, numbers: NDArray[np.float64], override: ColumnSettings
) -> tuple[float | None, float | None]:
    low, high = override.low, override.high
    finite = numbers[np.isfinite(numbers)]
    if dtype not in ("category", "text") and finite.size:
        low = float(finite.min()) if low is None else low
        high = float(finite.max()) if high is None else high
    return low, high
