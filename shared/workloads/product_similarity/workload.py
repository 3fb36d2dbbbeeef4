"""The product similarity contract: catalogue in, the nearest products of each product out.

Freshness and quality are two things here. What a version knows, the catalogue, is its state and
is made from the newest records at every training. What is judged, how two products are
compared, is its estimator, and candidate and champion are judged on the same newest catalogue.
So a catalogue that only gained or lost products never fails against the champion (both compare
it alike), while a change of weights that makes answers worse does.

No clock, no disk, no daemon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from shared.records import Table, from_epoch_us
from shared.workloads.contract import Answerer, Workload
from shared.workloads.product_catalogue import records, state_files
from shared.workloads.product_catalogue.catalogue import Floats
from shared.workloads.product_catalogue.comparison_questions import asked_lists
from shared.workloads.product_catalogue.fields import PRODUCT
from shared.workloads.product_catalogue.similarity import Share, Similarity
from shared.workloads.product_catalogue.training_catalogue import (
    TrainingCatalogue,
    read_training_catalogue,
)
from shared.workloads.product_similarity import evaluation
from shared.workloads.product_similarity.serving import SimilarProducts
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import (
    AskedLists,
    GoldenRequest,
    Progress,
    Score,
    StreamSpec,
    TrainingSet,
)

MAX_JUDGED = 1000
"""Products that ask when a version is judged; more would tell the same within a percent."""

_BLOCKS = 60
_APART = 366
FEATURES = (FeatureSpec("product_id", "category", "none"),)


class ProductSimilarityParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of similarity can be told.

    text_weight, price_weight, rating_weight : how much each part counts, relative to the others.
    approved_statuses : statuses that mean approved in this shop, beside the usual ones.
    """

    text_weight: Share = 0.7
    price_weight: Share = 0.2
    rating_weight: Share = 0.1
    approved_statuses: tuple[str, ...] = ()


class ProductSimilarity(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "product_similarity"
    streams = (StreamSpec("products", "the shop's products, approved or not", fields=PRODUCT),)
    Parameters = ProductSimilarityParameters
    # A shop of a dozen products has a dozen rows, each on a day of its own.
    gate_defaults = MappingProxyType(
        {"min_rows": 2, "min_days": 1, "min_holdout_rows": 1, "min_holdout_days": 1}
    )

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        own = self.parameters
        self._similarity = Similarity.of(own.text_weight, own.price_weight, own.rating_weight)

    @property
    def target_is_number(self) -> bool:
        return False

    # -- what the records are ------------------------------------------------------------------

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """A product that is not approved is usable: it says what must not be shown."""
        del stream
        return records.reject_reason(fields)

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per approved product: its place in the catalogue, its category's number.

        A row's day is no date of the product: a catalogue that was imported in one night has
        only one, and an edit moves a product to another. Nothing is learnt from a row that time
        could leak into, so rows are spread by a hash: those that are judged over the 60 days up
        to the newest record, which are the blocks of the bootstrap, and the others a year before.
        """
        table = tables["products"]
        rejected: Counter[str] = Counter()
        training_catalogue = read_training_catalogue(
            table, rejected, self.parameters.approved_statuses
        )
        newest = from_epoch_us(max(table.updated_at_us, default=0)).date()
        order = training_catalogue.order()
        days_before = np.full(len(order), _APART)
        judged = order[: min(MAX_JUDGED, len(order) * 4 // 5)]
        days_before[judged] = np.arange(len(judged)) % _BLOCKS
        oldest_first = np.lexsort((np.arange(len(order)), -days_before))
        categories = np.array(training_catalogue.catalogue.categories, dtype=np.str_)
        return TrainingSet(
            features=oldest_first[:, None].astype(np.float64),
            target=evaluation.labels(training_catalogue)[oldest_first],
            day=np.datetime64(newest, "D") - days_before[oldest_first].astype("timedelta64[D]"),
            slices=categories[oldest_first],
            context=training_catalogue,
            rejected=dict(rejected),
        )

    can_be_cut = False

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """By hash; see `training_set`. The oldest day there is stands for what was not judged."""
        is_train = rows.day == rows.day.min() if rows.n_rows else np.zeros(0, dtype=np.bool_)
        return rows.where(is_train), rows.where(~is_train)

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """How products are compared. Their words are counted here, for the state to use."""
        del seed
        progress(0.0, "words")
        training_catalogue: TrainingCatalogue = train.context
        _ = training_catalogue.vectors
        progress(0.5, "neighbours")
        training_catalogue.neighbours(self._similarity)
        progress(1.0, "neighbours")
        return self._similarity

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        return _score(evaluation.losses(holdout.context, estimator, _asking(holdout)), holdout)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: the products nearest in price."""
        return _score(evaluation.naive_losses(holdout.context, _asking(holdout)), holdout)

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        training_catalogue: TrainingCatalogue = rows.context
        return state_files.pack(
            training_catalogue.catalogue,
            training_catalogue.neighbours(self._similarity).arrays("similar"),
        )

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """The first, the last and the middle product, one by one and together."""
        ids = rows.context.catalogue.ids
        chosen = [ids[place] for place in sorted({0, len(ids) // 2, len(ids) - 1})]
        day = rows.day.max().astype(datetime)
        now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=1)
        return (
            *(GoldenRequest("similar", {"product_id": one, "n": 50}, now) for one in chosen),
            GoldenRequest("predict", {"instances": [{"product_id": one} for one in chosen]}, now),
        )

    def asked_lists(self, rows: TrainingSet) -> AskedLists | None:
        """What is most like some products."""
        catalogue = rows.context.catalogue
        return asked_lists("products", "product_id", catalogue.ids, catalogue, evaluation.N_JUDGED)

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        del estimator  # it was used where the neighbours were made
        return SimilarProducts.read(state)


def _asking(holdout: TrainingSet) -> evaluation.Places:
    return holdout.features[:, 0].astype(np.int64)


def _score(loss: Floats, holdout: TrainingSet) -> Score:
    metrics: dict[str, float] = {}
    is_labelled = holdout.target >= 0
    if is_labelled.any():
        metrics["category_precision_10"] = 1.0 - float(loss[is_labelled].mean())
    if not is_labelled.all():
        metrics["known_item_hit_rate_10"] = 1.0 - float(loss[~is_labelled].mean())
    return Score(loss, holdout.day, holdout.slices, metrics, evaluation.UNIT)
