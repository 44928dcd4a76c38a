"""Texts that a spreadsheet would take for formulas, in the CSV files that people open with one.

A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or the end of a line is computed when the file is opened, and
a formula may start programs. In what is written for people such a text has a ``'`` before it, so that it is none; our
readers of CSV take that away again, and the SMILES ``=O`` comes back as it was. Plain numbers stay as they are.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

_MARK = "'"
_FORMULA = r"^('*[=+\-@\t\r\n])"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MARKED = r"^'('*[=+\-@\t\r\n])"
_IS_MARKED = re.compile(_MARKED)


def escaped(table: pa.Table) -> pa.Table:
    """A table whose texts, names of columns too, are no formulas."""
    for place, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            table = table.set_column(place, field.name, _marked(column))
    return table.rename_columns(_marked(pa.array(table.column_names, pa.string())).to_pylist())


def _marked(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    marked = pc.replace_substring_regex(texts, _FORMULA, _MARK + r"\1")
    return pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, marked)


def unescaped(texts: pa.Array) -> pa.Array:
    """Texts of a CSV file as they were before `escaped`."""
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return texts
    return pc.replace_substring_regex(texts, _MARKED, r"\1")


def without_mark(text: str) -> str:
    """One text of a CSV file as it was before `escaped`."""
    return text[1:] if text[:1] == _MARK and _IS_MARKED.match(text) else text
