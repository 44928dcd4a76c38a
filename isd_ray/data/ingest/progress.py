"""How far a build is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """A moment of a build.

    Attributes
    ----------
    n_read, n_kept, n_merged:
        Records read, rows kept, and duplicates of these, also those of an interrupted build that this continues.
    share:
        Share of the sources read, 0 to 1: of the rows of a Parquet file, of the bytes of a text file.
    seconds:
        Since the first record was asked for, by this process.
    n_read_before, share_before:
        Where it was then; 0 unless an interrupted build is continued.
    """

    n_read: int
    n_kept: int
    n_merged: int
    share: float
    seconds: float
    n_read_before: int = 0
    share_before: float = 0.0

    @property
    def n_refused(self) -> int:
        """Records that became no row and are no duplicate of one."""
        return self.n_read - self.n_kept - self.n_merged

    @property
    def rate(self) -> float:
        """Records per second since the start."""
        return (self.n_read - self.n_read_before) / max(self.seconds, 1e-9)

    @property
    def n_total(self) -> int:
        """Records of all sources: exact for one Parquet file, else estimated from the bytes."""
        return max(self.n_read, round(self.n_read / self.share)) if self.share > 0 else self.n_read

    @property
    def seconds_left(self) -> float | None:
        """Time left at the speed so far; None before anything was read."""
        done = self.share - self.share_before
        return self.seconds * max(0.0, 1.0 - self.share) / done if done > 0 else None
