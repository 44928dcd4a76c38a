"""A block of which nothing is known for some compounds."""

from __future__ import annotations

from typing import Any

from isd_ray.data.blocks.description import BlockDescription
from isd_ray.data.blocks.spool import Spool
from isd_ray.data.library import Library


class MissingValues:
    """Makes a block with the columns of another one, missing throughout; a `BlockMaker`."""

    rdkit = ""
    takes_logs = False

    def __init__(self, like: BlockDescription) -> None:
        self.name = like.name
        self.source = like.source
        self.columns = tuple(column.name for column in like.columns)
        self.definition: dict[str, Any] = {}
        self._assays = [{**assay, "n": 0, "n_hits": 0} for assay in like.found.get("assays", ())]

    def fill(self, spool: Spool, library: Library) -> None:
        """Complete each part as it is: what is not written is missing."""
        for part in spool.missing:
            spool.complete(part)

    def found(self) -> dict[str, Any]:
        """That nothing was found."""
        return {"assays": self._assays} if self._assays else {}
