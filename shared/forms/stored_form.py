"""The forms as stored in `compiled/`: a scorer and how its scores become answers. Only data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.forms.linear import Folded, Linear
from shared.forms.predictors import AnomalyDetector, Classifier, Labels, Regressor, Scorer
from shared.forms.process.form import Processed
from shared.forms.trees import Trees
from shared.versions.version_files import VersionFiles


@dataclass(frozen=True, slots=True, eq=False)
class Numeric:
    """Answers of a regressor."""

    is_flat: bool
    inverse: str | None = None

    def over(self, scorer: Scorer) -> Any:
        return Regressor(scorer, inverse=self.inverse, is_flat=self.is_flat)


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Answers of a classifier. link : None where it has no probabilities."""

    classes: NDArray[Any]
    link: str | None

    def over(self, scorer: Scorer) -> Any:
        if self.link is None:
            return Labels(scorer, self.classes)
        return Classifier(scorer, self.classes, self.link)


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyAnswers:
    """Answers of an isolation forest."""

    offset: float

    def over(self, scorer: Scorer) -> Any:
        return AnomalyDetector(scorer, self.offset)


@dataclass(frozen=True, slots=True, eq=False)
class LinearForm:
    """is_folded : preprocessing is part of the weights; that was found to be equal."""

    linear: Linear
    answers: Numeric | Classes | AnomalyAnswers
    is_folded: bool

    def open_form(self, files: VersionFiles) -> Any:
        del files
        return self.answers.over(Folded(self.linear) if self.is_folded else self.linear)


@dataclass(frozen=True, slots=True, eq=False)
class TreesForm:
    trees: Trees
    answers: Numeric | Classes | AnomalyAnswers

    def open_form(self, files: VersionFiles) -> Any:
        return self.answers.over(self.trees.open_form(files))


@dataclass(frozen=True, slots=True, eq=False)
class DataForm:
    """An estimator of ours that is data itself."""

    estimator: Any

    def open_form(self, files: VersionFiles) -> Any:
        del files
        return self.estimator


@dataclass(frozen=True, slots=True, eq=False)
class ProcessForm:
    process: Processed

    def open_form(self, files: VersionFiles) -> Any:
        return self.process.open_form(files)


def class_labels(classes: Any) -> NDArray[Any]:
    """(n_classes,) as it can be stored: numbers, booleans or texts."""
    found = np.asarray(classes)
    return found.astype(np.str_) if found.dtype == object else found
