"""Of a vendor's file every record is accounted for, and every fault is named with its place."""

from __future__ import annotations

import random

import pyarrow.parquet as pq
import pytest

from isd_ray.config import LibraryConfig
from isd_ray.data.ingest.build import build_library
from tests.unit.vendor_sdf import FAULTS, vendor_sdf

N_RECORDS = 800


def structures(n):
    """Distinct structures: a chain with a nitrogen and a fluorine at places of their own."""
    places = ((x, y, z) for z in range(4, 60) for x in range(1, z - 1) for y in range(x, z - 1))
    found = ("C" * x + "N" + "C" * (y - x + 1) + "C(F)" + "C" * (z - y) for x, y, z in places)
    return list(dict.fromkeys(found))[:n]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_record_of_a_vendor_is_a_row_or_a_reject_with_its_fault_and_line(tmp_path, seed):
    content, expected, prices = vendor_sdf(structures(N_RECORDS), random.Random(seed), 0.3)
    assert {record.fault for record in expected} == {"", *FAULTS}
    path = tmp_path / "vendor.sdf"
    path.write_bytes(content)
    config = LibraryConfig(
        source=str(path), features="ecfp4", id_column="ID", columns=("PRICE",), duplicates="keep", workers=1
    )
    library = build_library(config, tmp_path / "library", base_dir=tmp_path)
    rejects = pq.read_table(library.path / "rejects.parquet").to_pylist()
    counts = library.metadata["counts"]
    assert counts["read"] == len(expected) == library.n_rows + len(rejects)
    assert library.ids().tolist() == [record.name for record in expected if not record.reason]
    found = dict(zip(library.ids().tolist(), library.column("PRICE").tolist(), strict=True))
    assert found == prices
    wrong = [record for record in expected if record.reason]
    assert [reject["line"] for reject in rejects] == [record.line for record in wrong]
    for reject, record in zip(rejects, wrong, strict=True):
        assert record.reason in reject["reason"], (record, reject)
    assert counts["changed"] == {"salt removed": sum(record.fault == "salt" for record in expected)}
