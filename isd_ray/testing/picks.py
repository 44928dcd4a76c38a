"""What every way to pick a batch must do, as tests to inherit: see `PickConformance`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from isd_ray.config.picks import BatchPick
from isd_ray.core.features import OnBits

N_ROWS, WIDTH, ON_BITS = 120, 512, 12


class PickConformance:
    """Tests of one `BatchPick`, for pytest.

    A package inherits from it in a test file of its own, and needs no more::

        from isd_ray.testing.picks import PickConformance
        from my_package import my_pick


        class TestMyPick(PickConformance):
            pick = my_pick

    Attributes
    ----------
    pick:
        The batch stage.
    """

    pick: ClassVar[BatchPick]

    def rows(self, n: int) -> OnBits:
        """The features of n rows, best first, the same each time; some are equal, and one has no bit."""
        rng = np.random.default_rng(0)
        kept = [np.sort(rng.choice(WIDTH, ON_BITS, replace=False)) for _ in range(N_ROWS // 2)] * 2
        kept[3] = np.empty(0, np.int64)
        sizes = [len(bits) for bits in kept[:n]]
        values = np.concatenate([*kept[:n], np.empty(0, np.int64)]).astype(np.uint16)
        return OnBits(values, np.cumsum([0, *sizes]).astype(np.int64), WIDTH)

    def places(self, n_rows: int, n: int) -> NDArray[np.int64]:
        """What it takes."""
        assert self.pick.choose is not None, "it has no `choose`"
        return np.asarray(self.pick.choose(self.rows(n_rows), n))

    def test_it_says_what_it_is(self) -> None:
        """A `BatchPick` that is shown a batch or more."""
        assert isinstance(self.pick, BatchPick), f"it is a {type(self.pick).__name__}"
        assert self.pick.n_batches >= 1, f"n_batches={self.pick.n_batches}"

    def test_it_takes_as_many_rows_as_it_is_asked_for(self) -> None:
        """Each once, ascending; all where there are no more, none where none is asked for."""
        for n_rows in (0, 1, 2, 40, N_ROWS):
            for n in (0, 1, 2, 39, 40, N_ROWS):
                found = self.places(n_rows, n)
                case = f"{n} of {n_rows} rows"
                assert found.shape == (min(n, n_rows),), f"{case}: places have shape {found.shape}"
                assert np.issubdtype(found.dtype, np.integer), f"{case}: places are {found.dtype}, no integers"
                assert not len(found) or (found[0] >= 0 and found[-1] < n_rows), f"{case}: a place is none of theirs"
                assert (np.diff(found) > 0).all(), f"{case}: places are not ascending, or one is taken twice"

    def test_it_takes_the_same_each_time(self) -> None:
        """What is random comes from the campaign; and it leaves what it is given as it is."""
        given = self.rows(N_ROWS)
        before = given.values.copy(), given.offsets.copy()
        assert self.pick.choose is not None, "it has no `choose`"
        first, again = (np.asarray(self.pick.choose(given, 30)) for _ in range(2))
        assert np.array_equal(first, again), "the same rows give another batch the second time"
        same = np.array_equal(given.values, before[0]) and np.array_equal(given.offsets, before[1])
        assert same, "it wrote into the arrays that it was given"
