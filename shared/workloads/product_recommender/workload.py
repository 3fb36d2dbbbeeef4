"""The product recommender contract: catalogue and events in, recommendations out.

As with `product_similarity`, what a version knows (catalogue, histories, who met what with what)
is its state, made from the newest records; what is learnt and judged is the blend of content,
company and popularity. Candidate and champion are judged on the same held-out meetings from the
same earlier events, so that newer events alone never fail against the champion.

No clock, no disk, no daemon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.holdout import MOST_DAYS
from shared.workloads.live import Expectation, Outcome
from shared.workloads.product_catalogue import records
from shared.workloads.product_catalogue.comparison_questions import asked_lists
from shared.workloads.product_catalogue.fields import PRODUCT
from shared.workloads.product_catalogue.similarity import Share, Similarity
from shared.workloads.product_catalogue.training_catalogue import read_training_catalogue
from shared.workloads.product_recommender import evaluation, live, serving
from shared.workloads.product_recommender import records as interactions
from shared.workloads.product_recommender.features import Profiles, profiles_of
from shared.workloads.product_recommender.fields import INTERACTION
from shared.workloads.product_recommender.model import FADES, ONLY_POPULAR, Blend
from shared.workloads.product_recommender.rows import Interactions, collect_interactions
from shared.workloads.product_recommender.serving import Recommendations
from shared.workloads.product_recommender.serving_state import serving_state_of
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import (
    AskedLists,
    GoldenRequest,
    Progress,
    Score,
    StreamSpec,
    TrainingSet,
)

FEATURES = (FeatureSpec("user_id", "category", "none"),)
_HELD_OUT = 0.2
_FADE_OF_OLD = 50.0

Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class ProductRecommenderParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of recommendations can be told.

    text_weight, price_weight, rating_weight : of `similar`, relative to each other.
    content_weight, collaborative_weight, popularity_weight : of `for_user`, until there is
        enough data to learn them, or for good where learn_weights is false.
    approved_statuses : statuses that mean approved in this shop, beside the usual ones.
    history_days : older events are not used.
    taste_half_life : products; what a customer met so many products ago counts half. 0: learnt
    popularity_half_life_days : a customer of so many days ago counts half
    repeat_purchases : products are used up, so that what was bought may be recommended again
    max_regressed : so many products with the most customers are regressed on each other; 0: none
    max_users : the most recently active so many have their histories in a version.
    max_history : newest products of one customer that a version carries.
    """

    text_weight: Share = 0.7
    price_weight: Share = 0.2
    rating_weight: Share = 0.1
    content_weight: Share = 0.3
    collaborative_weight: Share = 0.5
    popularity_weight: Share = 0.2
    learn_weights: bool = True
    approved_statuses: tuple[str, ...] = ()
    history_days: Days = 365
    taste_half_life: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 0.0
    popularity_half_life_days: Annotated[float, msgspec.Meta(ge=1, le=3650)] = 90.0
    repeat_purchases: bool = False
    max_regressed: Annotated[int, msgspec.Meta(ge=0, le=20_000)] = 5_000
    max_users: Annotated[int, msgspec.Meta(ge=1, le=5_000_000)] = 100_000
    max_history: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class ProductRecommender(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "product_recommender"
    streams = (
        StreamSpec(
            "products", "the shop's products, approved or not", is_counted=False, fields=PRODUCT
        ),
        StreamSpec(
            "interactions", "views, carts, purchases and ratings of customers", fields=INTERACTION
        ),
    )
    Parameters = ProductRecommenderParameters

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        own = self.parameters
        self._similarity = Similarity.of(own.text_weight, own.price_weight, own.rating_weight)
        self._fade = (0.0, own.taste_half_life) if own.taste_half_life else FADES[0]
        self._default = Blend.of(
            own.content_weight, own.collaborative_weight, own.popularity_weight, self._fade
        )

    @property
    def target_is_number(self) -> bool:
        return False

    # -- what the records are ------------------------------------------------------------------

    reasons_left_out = (
        interactions.NO_VIEWED_PRODUCT,
        interactions.UNKNOWN_KIND,
        interactions.VOID_ORDER,
    )

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        if stream == "products":
            return records.reject_reason(fields)
        return interactions.reject_reason(fields)

    # -- what came of an answer ------------------------------------------------------------------

    def expectations(
        self, question: str, request: Mapping[str, Any], answer: Mapping[str, Any], at_us: int
    ) -> Sequence[Expectation]:
        return live.expectations(request, answer, at_us)

    def outcomes(
        self, stream: str, fields: Mapping[str, Any], updated_us: int
    ) -> Sequence[Outcome]:
        return live.outcomes(fields, updated_us) if stream == "interactions" else ()

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row each time that a customer meets an approved product for the first time.

        Later events with the same product say how much it means, but are not to be foreseen;
        where purchases repeat, each later day on which it is bought is a row as well.
        """
        rejected: Counter[str] = Counter()
        training_catalogue = read_training_catalogue(
            tables["products"], rejected, self.parameters.approved_statuses
        )
        interactions = collect_interactions(
            tables["interactions"], training_catalogue, self.parameters.history_days, rejected
        )
        first = interactions.first_meetings()
        if self.parameters.repeat_purchases:
            first = np.sort(np.concatenate([first, interactions.bought_again()]))
        categories = np.array(training_catalogue.catalogue.categories, dtype=np.str_)
        item = interactions.item[first]
        return TrainingSet(
            features=interactions.user[first][:, None].astype(np.float64),
            target=item,
            day=interactions.day[first],
            slices=categories[item] if len(item) else np.zeros(0, dtype=np.str_),
            context=interactions,
            rejected=dict(rejected),
        )

    can_be_cut = False

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest fifth of the meetings, in whole days and at most four weeks of them, is the
        holdout."""
        if not rows.n_rows:
            return rows, rows
        cut = rows.day[min(int(rows.n_rows * (1 - _HELD_OUT)), rows.n_rows - 1)]
        cut = max(cut, rows.day.max() - np.timedelta64(MOST_DAYS - 1, "D"))
        interactions: Interactions = rows.context
        return hold_out(rows, rows.day >= cut, interactions.day < cut)

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """Choose the blend on meetings held back from the train rows."""
        del seed
        interactions: Interactions = train.context
        progress(0.0, "neighbours")
        profiles = self._profiles(interactions)
        progress(0.4, "weights")
        blend = self._default
        if self.parameters.learn_weights:
            repeats = self.parameters.repeat_purchases
            inner, user, item = evaluation.held_back(profiles, interactions, repeats=repeats)
            if len(user):
                fades = not self.parameters.taste_half_life
                past = self._profiles(inner)
                blend = evaluation.learn(
                    blend, past, inner, user, item, fades=fades, repeats=repeats
                )
        progress(1.0, "weights")
        return blend

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        interactions: Interactions = holdout.context
        user, item = holdout.features[:, 0].astype(np.int64), holdout.target.astype(np.int64)
        found = evaluation.rank(
            self._with_fade(estimator),
            self._profiles(interactions),
            interactions,
            user,
            item,
            repeats=self.parameters.repeat_purchases,
        )
        loss = 1.0 - found.is_hit.astype(np.float64)
        return Score(loss, holdout.day, holdout.slices, found.metrics(), evaluation.UNIT)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: everybody gets what is popular."""
        return self.score(ONLY_POPULAR, holdout)

    serves_baseline = True

    def fit_baseline(self, train: TrainingSet) -> Any:
        return ONLY_POPULAR

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        """From all events there are, train and holdout."""
        own, interactions = self.parameters, rows.context
        known = serving_state_of(
            interactions,
            self._profiles(interactions),
            interactions.training_catalogue.neighbours(self._similarity),
            max_users=own.max_users,
            max_history=own.max_history,
        )
        return serving.save(known)

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """Each question; customers with a long and a short history, and one who is not known."""
        interactions: Interactions = rows.context
        ids, n_met = interactions.training_catalogue.catalogue.ids, np.bincount(interactions.user)
        by_length = np.argsort(n_met, kind="stable")
        users = [
            interactions.users[by_length[at]] for at in sorted({0, len(n_met) // 2, len(n_met) - 1})
        ]
        stranger = max(interactions.users, key=len) + "?"
        day = rows.day.max().astype(datetime)
        now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=1)
        return (
            GoldenRequest("similar", {"product_id": ids[0], "n": 50}, now),
            GoldenRequest("similar", {"product_id": ids[-1]}, now),
            *(GoldenRequest("for_user", {"user_id": user, "n": 10}, now) for user in users),
            GoldenRequest("for_user", {"user_id": users[-1], "include_owned": True}, now),
            GoldenRequest("for_user", {"user_id": stranger}, now),
            GoldenRequest("popular", {"n": 10}, now),
            GoldenRequest("predict", {"instances": [{"user_id": user} for user in users]}, now),
        )

    def asked_lists(self, rows: TrainingSet) -> AskedLists | None:
        """What some customers would be shown."""
        interactions: Interactions = rows.context
        n, catalogue = evaluation.N_SHOWN, interactions.training_catalogue.catalogue
        return asked_lists("customers", "user_id", interactions.users, catalogue, n)

    def _profiles(self, interactions: Interactions) -> Profiles:
        own = self.parameters
        return profiles_of(
            interactions,
            self._similarity,
            popularity_half_life_days=own.popularity_half_life_days,
            max_regressed=own.max_regressed,
        )

    def _with_fade(self, blend: Blend) -> Blend:
        """A blend of release 0.1.0 says nothing of fading: the parameters did."""
        if blend.half_life:
            return blend
        half_life = self.parameters.taste_half_life or _FADE_OF_OLD
        return msgspec.structs.replace(blend, lasting=0.0, half_life=half_life)

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        repeats = self.parameters.repeat_purchases
        return Recommendations(self._with_fade(estimator), serving.read(state), repeats=repeats)


def hold_out(
    rows: TrainingSet, is_holdout: NDArray[np.bool_], is_known: NDArray[np.bool_]
) -> tuple[TrainingSet, TrainingSet]:
    """(train, holdout), both of which know only these events.

    is_holdout : (n_rows,). is_known : (n_events,) of the context.
    """
    within = replace(rows, context=rows.context.knowing(is_known))
    return within.where(~is_holdout), within.where(is_holdout)
