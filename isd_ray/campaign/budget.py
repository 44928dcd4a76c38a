"""How many compounds the next step may take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isd_ray.campaign.history import History
from isd_ray.config import AcquisitionConfig, PlatesConfig, StoppingConfig
from isd_ray.core.conditions import (
    Bought,
    Reached,
    affordable,
    bought,
    limits_reached,
    no_prices,
    rule_counts,
    words_of,
)
from isd_ray.core.stopping import kept_wells, rule_of
from isd_ray.messages import Rows
from isd_ray.plates.layout import batch_size, initial_size


class Budget:
    """What a campaign's limits leave, by what its history holds already beside what it started from.

    Rows are drawn at random whatever they cost, so their number is one that could be paid were they the dearest ones
    left: money is never exceeded, and no draw depends on a price. Only the best-scored rows, which prove nothing, end
    where the money does.

    Parameters
    ----------
    stopping:
        The limits of the campaign.
    acquisition, plates:
        How large its batches are.
    history:
        What it has measured, which changes under it.
    prices:
        float64 (n_rows,): of each row of the library, in all its wells; None without a limit on money.

    Attributes
    ----------
    is_stopped:
        A person has stopped the screen: no batch is acquired any more, and no look taken but a last one.
    """

    def __init__(
        self,
        stopping: StoppingConfig,
        acquisition: AcquisitionConfig,
        plates: PlatesConfig | None,
        history: History,
        prices: NDArray[np.float64] | None,
    ) -> None:
        self._stopping = stopping
        self._acquisition = acquisition
        self._plates = plates
        self._history = history
        self._sets = history.sets
        self._initial_size = initial_size(acquisition, plates)
        self.is_stopped = False
        self.set_prices(prices)

    def set_prices(self, prices: NDArray[np.float64] | None) -> None:
        """Go by the prices of a library that has more rows."""
        self._prices = prices
        self._by_price = None if prices is None else np.argsort(-prices, kind="stable")

    def usual(self, rounds: int) -> int:
        """Compounds of a batch after so many rounds while the budget lasts: the unit in which an audit is weighed."""
        return batch_size(self._acquisition, self._plates, rounds, self._sets.n_inference)

    @property
    def starts_known(self) -> bool:
        """Whether enough is known before the first batch for a model to choose it; never beside a reserve."""
        return self.n_reserve == 0 and self._history.n_known >= max(1, self._initial_size)

    @property
    def n_reserve(self) -> int:
        """Rows of the audit that is drawn before the first model."""
        return rule_of(self._stopping).reserved_rows(self._stopping, self._sets.n_target)

    @property
    def spent(self) -> float | None:
        """Money for all wells that were asked for, with a readout or without; None without a limit on money."""
        return None if self._prices is None else float(self._prices[self._history.asked].sum())

    def left(self, rounds: int) -> int:
        """Rows that may still be acquired after so many rounds whichever they are, before the screen ends anyway."""
        return self._affordable(rounds, self._paid(self._dearest()))

    def draw(self, rounds: int) -> int:
        """Rows of a batch that is drawn at random, after so many rounds; of the first one without its reserve."""
        if self.is_stopped:
            return 0
        wanted, kept = self.usual(rounds), self._kept
        if rounds == 0 and not self.starts_known:
            wanted, kept = self._initial_size, kept + self.n_reserve
        return max(0, min(wanted, self.left(rounds) - kept, self._sets.n_inference))

    def batch(self, rounds: int) -> int:
        """Rows of an acquisition batch after so many rounds, which `within` may cut; 0 when the budget is spent."""
        n_sure, n_wanted = self.draw(rounds), self.usual(rounds)
        if self._prices is None or n_sure in (0, n_wanted):
            return n_sure
        left = self._dearest()
        usual = np.full(n_wanted, left.mean())
        n_usual = self._affordable(rounds, self._paid(np.concatenate([left[: self._kept], usual]))) - self._kept
        return min(max(n_sure, n_usual), n_wanted, self._sets.n_inference)

    def within(self, rows: Rows, rounds: int) -> int:
        """How many of these rows, in this order, can be paid beside the wells that are kept; at least `draw`."""
        n_sure = self.draw(rounds)
        if self._prices is None or n_sure >= len(rows):
            return len(rows)
        kept = self._dearest(without=rows[:n_sure])[: self._kept]
        n_paid = self._affordable(rounds, self._paid(np.concatenate([kept, self._prices[rows]]))) - self._kept
        return min(len(rows), max(n_sure, n_paid))

    def look(self, is_last: bool, rounds: int) -> int:
        """Wells that a look, or its finish, may take after so many rounds, whatever they cost.

        The last look takes those kept for it, in rounds beyond the others.
        """
        if is_last:
            return self.left(0)
        return 0 if self.is_stopped else max(0, self.left(rounds) - self._kept)

    def rule_counts(self, rounds: int) -> bool:
        """Whether a yes of the stopping rule would end the screen after so many rounds."""
        sets, paid = self._sets, self._paid(self._dearest())
        return rule_counts(self._stopping, self._n_counted, rounds, sets.n_target, paid)

    def spent_on(self, rounds: int) -> tuple[str, ...]:
        """In words, the limits that leave nothing to acquire after so many rounds, beside the wells that are kept."""
        paid = self._paid(self._dearest())
        reached = Reached(self._n_counted + self._kept, rounds)
        return tuple(map(words_of, limits_reached(self._stopping.condition, reached, self._sets.n_target, paid)))

    @property
    def _kept(self) -> int:
        return kept_wells(self._stopping, self._sets.n_target)

    def _affordable(self, rounds: int, paid: Bought) -> int:
        n = affordable(self._stopping, self._n_counted, rounds, self._sets.n_target, paid)
        return min(n, self._sets.n_inference) if self._history.n_known else n

    @property
    def _n_counted(self) -> int:
        """Measured rows but those that were known before the screen, which nobody asked for."""
        return self._sets.n_measured - self._history.n_known

    def _paid(self, prices: NDArray[np.float64]) -> Bought:
        """What money buys in this order of prices."""
        return no_prices if self._prices is None else bought(prices, self.spent or 0.0, self._n_counted)

    def _dearest(self, without: Rows | None = None) -> NDArray[np.float64]:
        """Prices of the inference set, the highest first."""
        if self._prices is None or self._by_price is None:
            return np.empty(0)
        left = self._by_price[self._sets.is_left(self._by_price)]
        if without is not None:
            left = left[~np.isin(left, without)]
        return self._prices[left]
