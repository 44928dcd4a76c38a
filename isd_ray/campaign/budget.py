"""How many compounds the next step may take."""

from __future__ import annotations

from isd_ray.config import CampaignConfig
from isd_ray.core.conditions import affordable, rule_counts
from isd_ray.core.sets import TargetSets
from isd_ray.core.stopping import kept_wells, reserved_rows


class Budget:
    """The wells that a campaign's limits leave, by what its sets hold already.

    Parameters
    ----------
    config, sets:
        The campaign, and its sets, which change under it.
    """

    def __init__(self, config: CampaignConfig, sets: TargetSets) -> None:
        self._config = config
        self._sets = sets

    @property
    def n_reserve(self) -> int:
        """Rows of the audit that is drawn before the first model."""
        return reserved_rows(self._config.stopping, self._sets.n_target)

    @property
    def _kept(self) -> int:
        return kept_wells(self._config.stopping, self._sets.n_target)

    def batch(self, rounds: int) -> int:
        """Rows of the acquisition batch after so many rounds; of the first one without its reserve."""
        wanted, kept = self._config.acquisition.batch_size, self._kept
        if not self._sets.n_measured:
            wanted, kept = self._config.initial_size, kept + self.n_reserve
        return max(0, min(wanted, self.left(rounds) - kept, self._sets.n_inference))

    def look(self, is_last: bool, rounds: int) -> int:
        """Wells that a look, or its finish, may take after so many rounds.

        The last look takes those kept for it, in rounds beyond the others.
        """
        return self.left(0) if is_last else max(0, self.left(rounds) - self._kept)

    def rule_counts(self, rounds: int) -> bool:
        """Whether a yes of the stopping rule would end the screen after so many rounds."""
        return rule_counts(self._config.stopping, self._sets.n_measured, rounds, self._sets.n_target)

    def left(self, rounds: int) -> int:
        """Compounds that may still be acquired after so many rounds, before the screen ends whatever the rule says."""
        return affordable(self._config.stopping, self._sets.n_measured, rounds, self._sets.n_target)
