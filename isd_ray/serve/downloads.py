"""Answers that browsers keep as files."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections.abc import Sequence
from pathlib import Path

from starlette.responses import FileResponse, Response

CSV, ZIP = "text/csv; charset=utf-8", "application/zip"


def attachment(name: str, media_type: str, content: bytes) -> Response:
    """A file."""
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type)


def archive(name: str, files: Sequence[Path]) -> FileResponse:
    """Files in one archive, which is kept beside the first and sent from there, however large it is."""
    target = files[0].with_name(name)
    if not target.is_file():
        partial = target.with_name(f"{secrets.token_hex(8)}.partial")
        _zip(files, partial)
        partial.replace(target)
    return FileResponse(target, media_type=ZIP, filename=name)


def zipped(files: Sequence[Path]) -> bytes:
    """Files in one archive, by their names."""
    sink = io.BytesIO()
    _zip(files, sink)
    return sink.getvalue()


def _zip(files: Sequence[Path], sink: Path | io.BytesIO) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as into:
        for file in files:
            into.write(file, file.name)
