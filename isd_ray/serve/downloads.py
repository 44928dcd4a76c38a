"""Answers that browsers keep as files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import Response

CSV, ZIP = "text/csv; charset=utf-8", "application/zip"


def attachment(name: str, media_type: str, content: bytes) -> Response:
    """A file."""
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type)


def zipped(files: Sequence[Path]) -> bytes:
    """Files in one archive, by their names."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return sink.getvalue()
