"""Records of a table or of earlier readouts that cannot be read: counted, and the first of them named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isd_ray.data.ingest.files import SourceFile
from isd_ray.data.ingest.readers import DESCRIBES
from isd_ray.data.ingest.records import Records
from isd_ray.data.ingest.tables import BLANK
from isd_ray.errors import InputFileError

N_BROKEN, FIRST_BROKEN = "n_broken", "first_broken"
"""Among what was found: records that cannot be read, how many and where the first is."""


@dataclass(slots=True)
class BrokenRecords:
    """What was broken in the records that were noted.

    Attributes
    ----------
    n, n_records:
        Broken ones, and all; blank lines and PubChem's descriptions of columns are neither.
    first:
        Line, file and reason of the first.
    """

    n: int = 0
    n_records: int = 0
    first: str = ""

    def note(self, records: Records, file: SourceFile) -> None:
        """Count some records."""
        self.n_records += len(records)
        for index, reason in sorted(records.problems.items()):
            if reason == BLANK or reason.startswith(DESCRIBES):
                self.n_records -= 1
                continue
            self.n += 1
            self.first = self.first or f"line {records.lines[index]} of {file.name}: {reason}"

    def found(self) -> dict[str, Any]:
        """For the description of a block; empty where nothing is broken."""
        return {N_BROKEN: self.n, FIRST_BROKEN: self.first} if self.n else {}

    def refuse_all(self, where: str) -> None:
        """Raise InputFileError where every record is broken."""
        if self.n and self.n == self.n_records:
            raise InputFileError(
                f"all {self.n:,} records are broken; the first is {self.first}",
                where,
                "save it again, with a field for each column of the header; numbers with decimal points, or in quotes",
            )
