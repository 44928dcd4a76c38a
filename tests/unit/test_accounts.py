"""Every record of a file has its fate, by a count of the file that owes nothing to the readers; and it is shown."""

from __future__ import annotations

import random
import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isd_ray.campaign.intake import NO_SAMPLE, NOT_WHOLE
from isd_ray.config import LibraryConfig
from isd_ray.data.ingest.build import build_library
from isd_ray.errors import InputFileError, LabelError
from isd_ray.ops.campaign import Campaign
from tests.unit.test_laboratory import HITS, LABORATORY, isd, signals, truth, write

__all__ = ["truth"]
SLOW = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def asked(make_config, tmp_path_factory):
    """A campaign by compounds, of whose batch some have been told."""
    campaign = Campaign.create(tmp_path_factory.mktemp("asked") / "run", make_config(**LABORATORY))
    ids = campaign.ask().ids
    campaign.tell(dict.fromkeys(ids[:10], "BBB+"))
    return campaign, ids


@pytest.fixture(scope="module")
def plated(make_config, tmp_path_factory):
    changes = {**LABORATORY, **HITS, "acquisition": {"batch_size": 160}}
    campaign = Campaign.create(tmp_path_factory.mktemp("plated") / "run", make_config(**changes))
    campaign.ask()
    return campaign


# --- readouts by compound -------------------------------------------------------------------------------------------

FATES = {
    "new": lambda name: (f"{name},BBB-", "new"),
    "known": lambda name: (f"{name},BBB+", "known"),
    "other than known": lambda name: (f"{name},BBB-", "refused"),
    "unknown id": lambda name: (f"no-{name},BBB+", NO_SAMPLE),
    "no class": lambda name: (f"{name},maybe", "refused"),
    "no value": lambda name: (f"{name},", "refused"),
    "one field": lambda name: (name, "refused"),
    "three fields": lambda name: (f"{name},BBB+,3", "refused"),
    "open quote": lambda name: (f'{name},"BBB+', "refused"),
    "no id": lambda name: (",BBB+", "refused"),
    "spreadsheet's blank": lambda name: (",", None),
}
OF_KNOWN = ("known", "other than known")


@SLOW
@given(kinds=st.lists(st.sampled_from(sorted(FATES)), min_size=1, max_size=40))
def test_each_line_of_a_table_has_the_fate_that_it_must_have(asked, tmp_path, kinds):
    campaign, ids = asked
    told, untold = iter(ids[:10]), iter(ids[10:])
    lines, expected = [], Counter()
    for kind in kinds:
        if (name := next(told if kind in OF_KNOWN else untold, None)) is None:
            continue
        text, fate = FATES[kind](name)
        lines.append(text)
        expected[fate] += fate is not None
    file = tmp_path / "a.csv"
    file.write_text("".join(f"{line}\n" for line in ["name,bbb", *lines]))
    expected = {fate: n for fate, n in expected.items() if n}
    if not expected.keys() & {"new", "known"}:
        with pytest.raises((LabelError, InputFileError)):
            campaign.preview(file)
        return
    answer = campaign.preview(file)
    assert dict(answer.fates) == expected
    assert answer.n_read == sum(1 for line in lines if line.strip(","))


def test_the_counts_are_shown_with_every_file_that_is_told(make_config, tmp_path):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    ids = campaign.ask().ids
    first = write(tmp_path / "a.csv", ("name", "bbb"), [(ids[0], "BBB+"), (ids[1], "?"), ("x", "BBB+")])
    second = write(tmp_path / "b.csv", ("name", "bbb"), [(ids[0], "BBB+"), (ids[2], "BBB-")])
    shown = isd("tell", campaign.path, first, second)
    assert f"3 read = 1 new + 1 {NO_SAMPLE} + 1 refused" in shown
    assert "2 read = 1 known + 1 new" in shown
    told = campaign.tell({ids[0]: "BBB+", ids[3]: "BBB-"})
    assert "2 read = 1 known + 1 new" in repr(told)
    assert "2 read = 1 known + 1 new" in told._repr_html_()


@pytest.mark.parametrize("name", ["a [/bold].csv", "[red]a.csv", "[link=x]a.csv"])
def test_names_of_files_are_no_markup(make_config, tmp_path, name):
    campaign = Campaign.create(tmp_path / "run", make_config(**LABORATORY))
    ids = campaign.ask().ids
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    write(file, ("name", "bbb"), [(ids[0], "BBB+"), ("[/x]", "BBB+"), (ids[1], "[red]")])
    shown = isd("tell", campaign.path, file)
    assert f"{file}: 1 new" in shown
    assert "unknown id '[/x]'" in shown
    assert "'[red]'" in shown


# --- readouts by plate and well ---------------------------------------------------------------------------------------


@SLOW
@given(seed=st.integers(0, 10_000))
def test_each_well_of_a_file_of_plates_has_a_fate(plated, truth, tmp_path, seed):
    rng = random.Random(seed)
    wells = signals(plated, truth, 0)
    content = {(well["plate"], well["well"]): well["content"] for well in plated.batch().plate_map.to_pylist()}
    first, second = (plate for plate in dict.fromkeys(plate for plate, _, _ in wells))
    lines, expected = [], Counter()
    is_whole = rng.random() < 0.5
    for plate, well, value in wells:
        is_sample = content[plate, well] == "sample"
        if plate == second and not is_whole and well == "D05":
            continue  # then no well of this plate counts
        word = value
        if plate == first and is_sample and rng.random() < 0.05:
            word = rng.choice(["OVRFLW", "", "#N/A", "~5"])
        lines.append((plate, well, word))
        if plate == second and not is_whole:
            expected[NOT_WHOLE] += 1
        elif not is_sample:
            expected["controls"] += 1
        else:
            expected["lost" if word != value else "new"] += 1
    strange = [("P99999", "A01", "5"), (first, "Z99", "5"), ("", "A01", "5")][: rng.randrange(4)]
    lines += strange
    rng.shuffle(lines)
    answer = plated.preview(write(tmp_path / "a.csv", ("plate", "well", "signal"), lines))
    assert answer.n_read == len(lines)
    known = {fate: answer.fates.get(fate, 0) for fate in expected}
    assert known == expected
    assert sum(answer.fates.values()) - sum(known.values()) == len(strange)


# --- what a dispenser left out ----------------------------------------------------------------------------------------

TRANSFER = "Source Well,Destination Plate Barcode,Destination Well,Transfer Volume,Actual Volume"


def test_a_transfer_report_accounts_for_each_of_its_lines(make_config, tmp_path):
    campaign = Campaign.create(
        tmp_path / "run", make_config(**{**LABORATORY, **HITS, "acquisition": {"batch_size": 80}})
    )
    campaign.ask()
    samples = [well["well"] for well in campaign.batch().plate_map.to_pylist() if well["content"] == "sample"]
    done = dict.fromkeys(samples, "25")
    done |= {samples[3]: "0", samples[4]: "20", samples[5]: "n/d", samples[6]: ""}
    lines = ["Run ID,7", "", "[EXCEPTIONS]", f"{TRANSFER},Transfer Status"]
    lines += [f"A1,P00001,{samples[3]},25,0,MM0202007: no fluid", "", "[DETAILS]", TRANSFER]
    lines += [f"A1,P00001,{well},25,{volume}" for well, volume in done.items()]
    lines += [f"A1,P00001,{samples[7]}", "A1,P00001,Z9,25,0", "Instrument Name,E5XX"]
    file = tmp_path / "echo.csv"
    file.write_text("\n".join(lines) + "\n")
    told = campaign.tell(file)
    n_lines = sum(1 for line in lines if re.match(r"A1,", line))
    assert (told.n_lost, told.n_transfers, len(told.refused)) == (2, len(samples) - 4, 4)
    assert told.n_transfers + told.n_lost + len(told.refused) == n_lines - 1, (
        "an exception is a line of the details, too"
    )
    assert sum("is no number, so whether it was dispensed is open" in line.reason for line in told.refused) == 2
    assert f"{told.n_transfers} transfers were made" in isd("tell", campaign.path, file)
    assert campaign.status().counts["FAILED"] == 2


# --- libraries --------------------------------------------------------------------------------------------------------

RECORDS = [
    "{smiles},{name}",
    "C1CC,{name}",
    "{smiles}*,{name}",
    "{smiles}",
    "{smiles},{name},7",
    ",{name}",
    '"{smiles},{name}',
    "{smiles},",
]


@SLOW
@given(kinds=st.lists(st.integers(0, len(RECORDS) - 1), min_size=1, max_size=30), n_alike=st.integers(1, 4))
def test_each_record_of_a_library_is_a_row_a_duplicate_or_a_reject(tmp_path_factory, kinds, n_alike):
    folder = tmp_path_factory.mktemp("accounts")
    records = [
        RECORDS[kind].format(smiles="C" * (1 + at // n_alike) + "O", name=f"C{at}") for at, kind in enumerate(kinds)
    ]
    (folder / "a.csv").write_text("\n".join(["smiles,name", "CCN,first", *records]) + "\n")
    config = LibraryConfig(source="a.csv", id_column="name", features="ecfp4", workers=1)
    library = build_library(config, folder / "library", base_dir=folder)
    rejects = pq.read_table(folder / "library" / "rejects.parquet")["line"].to_pylist()
    assert len(rejects) == len(set(rejects))
    assert library.n_rows + len(rejects) == 1 + len(records)
    rows = [line for line in range(2, 3 + len(records)) if line not in rejects]
    lines = (folder / "a.csv").read_text().splitlines()
    assert list(library.ids(range(library.n_rows))) == [lines[line - 1].split(",")[1] for line in rows]
    counts = library.metadata["counts"]
    assert counts["read"] == 1 + len(records)
    assert (counts["kept"], counts["duplicates"] + sum(counts["rejected"].values())) == (library.n_rows, len(rejects))
    shown = isd("library", "info", folder / "library").replace("\n", " ")
    assert f"{counts['read']}: {counts['kept']} kept" in re.sub(r"[\s│]+", " ", shown)
