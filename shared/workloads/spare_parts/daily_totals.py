"""Sum used parts by day into totals per part over a calendar without gaps.

Counts every document that could not be used, with the reason. Knows no features and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from shared.documents.time_policy import NoTime
from shared.records import Record
from shared.workloads.spare_parts import records as appointments
from shared.workloads.spare_parts.history import DemandHistory
from shared.workloads.spare_parts.part_numbers import PartNumbers, numbered_name

DATED_LATER = "dated later than the newest record"
LINE_LEFT_OUT = "{reason}, the rest of the appointment was used"

CatalogueEntry = Mapping[str, Any]
"""{name, sku, price} of a part on sale."""


def unusable(fields: Mapping[str, Any], day: date | NoTime) -> str | None:
    """Why nothing can be learnt from this appointment; None when something can."""
    if not appointments.says_complete(fields.get("status")):
        return appointments.NOT_COMPLETE
    if isinstance(day, NoTime):
        return day.value if day is NoTime.AMBIGUOUS else appointments.NO_DATE
    lines = list(appointments.part_lines(fields))
    if any(isinstance(line, appointments.PartLine) and line.pieces for line in lines):
        return None
    return next((line for line in lines if isinstance(line, str)), appointments.NO_PARTS)


def read_catalogue(records: Iterable[Record], rejected: Counter[str]) -> dict[str, CatalogueEntry]:
    """Identity -> entry; of two documents with one name the newest counts.

    Where documents of one name have numbers of their own, each is a part: "Seal (A2)".
    """
    by_name: dict[str, dict[str, CatalogueEntry]] = {}
    for record in records:
        entry = appointments.catalogue_entry(record.fields)
        if entry is None:
            rejected[appointments.NO_NAME] += 1
        else:
            of_name = by_name.setdefault(appointments.identity(entry["name"]), {})
            of_name[entry["sku"] or ""] = entry
    entries: dict[str, CatalogueEntry] = {}
    for key, of_name in by_name.items():
        numbered = {sku: entry for sku, entry in of_name.items() if sku}
        if len(numbered) < 2:
            entries[key] = list(of_name.values())[-1]
            continue
        for sku, listed in numbered.items():
            name = numbered_name(listed["name"], sku)
            entries[appointments.identity(name)] = {**listed, "name": name}
    return entries


class PartsLedger:
    """Filled by one thread, then read once.

    newest_day : day on which the newest record was written. With one day of slack, because it
        may have been written in another time zone than the garage's, nothing happened later.
    """

    def __init__(self, catalogue: Mapping[str, CatalogueEntry], newest_day: date) -> None:
        self.rejected: Counter[str] = Counter()
        self._latest = newest_day + timedelta(days=1)
        self._first_day: date | None = None
        self._last_day: date | None = None
        self._entries: list[tuple[date, str, str, float]] = []
        self._numbers = PartNumbers()
        self._spellings: dict[str, Counter[str]] = {}
        self._listed = {key: str(entry["name"]) for key, entry in catalogue.items()}
        self._skus = {key: str(entry["sku"] or "") for key, entry in catalogue.items()}
        self._by_sku = {entry["sku"]: str(entry["name"]) for entry in catalogue.values()}

    def enter(self, fields: Mapping[str, Any], day: date | NoTime) -> None:
        """Enter one appointment, or count why it cannot be."""
        reason = unusable(fields, day)
        if isinstance(day, NoTime):
            self.rejected[reason or appointments.NO_DATE] += 1
            return
        if day > self._latest:
            reason = reason or DATED_LATER
        elif reason != appointments.NOT_COMPLETE:
            # Even without parts a finished appointment shows that the calendar reaches this day.
            self._first_day = min(day, self._first_day or day)
            self._last_day = max(day, self._last_day or day)
        if reason is not None:
            self.rejected[reason] += 1
            return
        for line in appointments.part_lines(fields):
            if isinstance(line, str):
                self.rejected[LINE_LEFT_OUT.format(reason=line)] += 1
            elif line.pieces:
                self._enter_line(day, line)

    def _enter_line(self, day: date, line: appointments.PartLine) -> None:
        name = line.name or self._by_sku.get(line.sku, line.sku)
        key = appointments.identity(name)
        self._spellings.setdefault(key, Counter())[name] += 1
        self._numbers.add(key, line.sku)
        self._entries.append((day, key, line.sku, line.pieces))

    def _part_entries(self) -> list[tuple[date, str, float]]:
        """The entries by part: one name with several numbers is several parts."""
        found = []
        for day, name, sku, used in self._entries:
            key, told = name, numbered_name(self._name(name), sku)
            is_listed = appointments.identity(told) in self._listed
            if is_listed or self._numbers.is_apart(name, sku, self._skus.get(name, "")):
                key = appointments.identity(told)
                self._spellings.setdefault(key, Counter())[told] += 1
            found.append((day, key, used))
        return found

    def history(self, newest_days: int) -> DemandHistory:
        """The last `newest_days` of the calendar, with the parts that were used in them."""
        if self._first_day is None or self._last_day is None:
            no_days = np.array([], dtype="datetime64[D]")
            return DemandHistory(np.datetime64("2000-01-01", "D"), (), np.zeros((0, 0)), no_days)
        start = max(self._first_day, self._last_day - timedelta(days=newest_days - 1))
        entries, first_use = self._part_entries(), dict[str, date]()
        for day, key, used in entries:
            if used > 0:
                first_use[key] = min(day, first_use.get(key, day))
        keys = sorted({key for day, key, used in entries if day >= start and used > 0})
        column = {key: i for i, key in enumerate(keys)}
        pieces = np.zeros(((self._last_day - start).days + 1, len(keys)))
        for day, key, used in entries:
            if day >= start and key in column:
                pieces[(day - start).days, column[key]] += used
        # Parts that came back lower the demand of their day, and at most to nothing.
        pieces = np.maximum(pieces, 0.0)
        return DemandHistory(
            np.datetime64(start, "D"),
            tuple(self._name(key) for key in keys),
            pieces,
            np.array([first_use[key] for key in keys], dtype="datetime64[D]"),
        )

    def _name(self, key: str) -> str:
        """As the catalogue writes it, else the most frequent spelling."""
        if key in self._listed:
            return self._listed[key]
        spellings = self._spellings[key]
        return min(spellings, key=lambda name: (-spellings[name], name))
