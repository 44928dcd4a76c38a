"""Bounds on files that somebody else wrote: larger ones end in an error that says so, not in a full memory or disk.

None is near what a screen needs; a file beyond one of them is damaged, mistaken or malicious.
"""

from __future__ import annotations

MAX_CONFIG_BYTES = 1 << 20
"""A campaign file."""
MAX_DESCRIPTION_BYTES = 256 << 20
"""The description of a library: about 200 bytes for each of its parts."""
MAX_READOUTS_BYTES = 256 << 20
"""A file of readouts, which is held whole; of Parquet what it takes when it is decompressed."""
MAX_READOUTS_ROWS = 20_000_000
MAX_RECORD_BYTES = 16 << 20
"""One line of an SMI file, one record of an SDF file."""
MAX_CELL_BYTES = 1 << 20
"""One field of a text table, one value of an SDF item, one text of a Parquet column; longer ones cost their record."""
MAX_BATCH_BYTES = 256 << 20
"""Texts of the few thousand records that are decoded at once of a Parquet source."""
MAX_SMILES_CHARS = 20_000
"""A SMILES; longer ones cost their record before RDKit sees them."""
MAX_STRUCTURE_SECONDS = 30.0
"""For the chemistry of one structure, which takes about a millisecond; one that takes longer costs its record."""
MAX_EXPANSION = 200
"""Times its own size that a compressed file may decompress to; text of compounds reaches 10, gzip 1,032."""
ALWAYS_EXPANDED_BYTES = 64 << 20
"""What any compressed file may decompress to."""
MAX_GROUP_ROWS = 1 << 28
"""Rows of one row group of a Parquet source; writers make about a million."""
MAX_GROUP_BYTES = 64 << 30
"""Decompressed size of the columns that are read of one row group."""
MAX_UPLOAD_BYTES = 64 << 20
"""A file of readouts that is sent to the web page; larger ones are told by the command."""
MAX_READING_SECONDS = 60.0
"""For a file that was sent to the web page, from the start of the process that reads it."""
MAX_MAKING_SECONDS = 1800.0
"""For a file of a screen under way that the web page has made, which predicts the whole library."""
MAX_READING_BYTES = 4 << 30
"""Memory of that process."""
MAX_FORM_BYTES = 1 << 20
"""Any other form of the web page."""
