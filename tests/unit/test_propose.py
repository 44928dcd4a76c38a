"""`isd init --from`: unlike files, and the campaign that an expert would propose for each, with its reason."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.config_file import load_config
from isd_ray.data.library import Library
from isd_ray.data.look.columns import ColumnLook
from isd_ray.data.look.roles import candidate
from isd_ray.errors import InputFileError
from isd_ray.ops.build import build_library
from isd_ray.ops.plan import plan_campaign
from isd_ray.ops.prepare import known_labels
from isd_ray.ops.propose import propose

N = 300


@pytest.fixture(scope="module")
def smiles(compounds):
    every = pa.csv.read_csv(compounds)["smiles"].to_pylist()
    distinct = list({Chem.CanonSmiles(text): text for text in every}.values())
    return distinct[:N]


def write(path, columns, delimiter=","):
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    text = "\n".join([*lines, ""])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def hits(n, share, names=(0, 1)):
    drawn = [names[number < share * n] for number in range(n)]
    random.Random(0).shuffle(drawn)
    return drawn


def ids(n):
    return [f"X-{number:04d}" for number in range(n)]


def accepted(proposal, tmp_path):
    """The library as the written file builds it, and its labels, as a simulation would take them."""
    from isd_ray.ops.propose import proposal_text

    file = tmp_path / "written.toml"
    file.write_text(proposal_text(proposal, file))
    config = load_config(file, ["library.features=ecfp4", "library.workers=1"])
    assert config == load_config(file, []).model_copy(update={"library": config.library})
    library = build_library(config.library, tmp_path / "library")
    return library, known_labels(config, library) if proposal.is_measured else None


def test_rare_hits_ask_for_their_recall(smiles, tmp_path):
    file = write(
        tmp_path / "hits.csv", {"compound_id": ids(N), "smiles": smiles, "active": hits(N, 0.03), "MW": range(N)}
    )
    made = propose(file)
    assert made.value("library.id_column") == "compound_id"
    assert made.value("labels.column") == "active"
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("recall", "1")
    assert "3.0% of the compounds (9) are hits: an accuracy of 0.97 is what 'none is a hit'" in made.why(
        "stopping.quantity"
    )
    assert "describes the compound" in made.left["MW"]
    assert any("9 hits" in words for words in made.unknown)
    library, labels = accepted(made, tmp_path)
    assert (library.n_rows, int(labels.labels.sum())) == (N, 9)


def test_hits_that_are_nearly_everything_ask_for_a_mean_of_both_classes(smiles, tmp_path):
    made = propose(write(tmp_path / "common.csv", {"smiles": smiles, "hit": hits(N, 0.95)}))
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("balanced_accuracy", "1")
    assert "'1' for every compound is right in 95.0%" in made.why("stopping.quantity")
    accepted(made, tmp_path)


def test_balanced_words_ask_for_accuracy(smiles, tmp_path):
    file = write(tmp_path / "words.tsv", {"Smiles": smiles, "Outcome": hits(N, 0.4, ("inactive", "active"))}, "\t")
    made = propose(file)
    assert made.value("library.smiles_column") == "Smiles"
    assert made.value("library.id_column") is None
    assert any("numbers of records" in words for words in made.unknown)
    assert (made.value("stopping.quantity"), made.value("stopping.gamma")) == ("accuracy", 0.9)
    assert "right in 60.0%" in made.why("stopping.quantity")
    assert accepted(made, tmp_path)[1].classes == ("active", "inactive")
    assert made.value("labels.classes") == ["active", "inactive"]


def test_three_classes_with_a_rare_active_one_ask_for_its_recall(smiles, tmp_path):
    outcome = (["Inactive"] * 28 + ["Inconclusive", "Active"]) * 10
    made = propose(write(tmp_path / "three.csv", {"CID": range(N), "SMILES": smiles, "Activity Outcome": outcome}))
    assert made.value("library.id_column") == "CID"
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("recall", "Active")
    assert len(accepted(made, tmp_path)[1].classes) == 3


def test_three_common_classes_ask_for_accuracy(smiles, tmp_path):
    made = propose(write(tmp_path / "three.csv", {"smiles": smiles, "class": ["low", "middle", "high"] * 100}))
    assert (made.value("stopping.quantity"), made.value("stopping.gamma")) == ("accuracy", 0.9)
    assert made.value("stopping.positive") is None
    accepted(made, tmp_path)


def test_a_potency_with_bounds_becomes_classes_of_which_the_low_one_is_active(smiles, tmp_path):
    potency = [">10000" if number % 2 else str(50 * number) for number in range(N)]
    made = propose(write(tmp_path / "ic50.csv", {"name": ids(N), "smiles": smiles, "IC50 (nM)": potency}))
    assert (made.value("labels.transform"), made.value("labels.threshold")) == ("threshold", 1000.0)
    assert made.value("labels.classes") == ["active", "inactive"]
    assert "1 µM" in made.why("labels.threshold")
    assert made.value("stopping.quantity") == "recall"
    _, labels = accepted(made, tmp_path)
    active = sum(not text.startswith(">") and float(text) <= 1000 for text in potency)
    assert int((labels.labels == 0).sum()) == active


def test_bounds_that_may_lie_above_a_cut_make_no_compound_potent(smiles, tmp_path):
    potency = [">0.5" if number % 4 else "5" for number in range(N - 30)] + ["0.8"] * 30
    made = propose(write(tmp_path / "ic50.csv", {"smiles": smiles, "IC50_uM": potency}))
    assert made.value("labels.threshold") == 1.0
    assert "10.0% are at most that" in made.why("labels.threshold")


def test_bounds_that_the_cut_leaves_in_doubt_are_said(smiles, tmp_path):
    potency = [">0.5" if number == 0 else str(0.02 * number) for number in range(N)]
    made = propose(write(tmp_path / "ec50.csv", {"smiles": smiles, "EC50_uM": potency}))
    assert made.value("labels.censored") == "bound"
    assert "leaves 1 bounds in doubt" in made.why("labels.censored")
    accepted(made, tmp_path)


def test_plain_numbers_are_right_within_a_tolerance(smiles, tmp_path):
    made = propose(write(tmp_path / "numbers.csv", {"smiles": smiles, "response": [0.1 * (n % 97) for n in range(N)]}))
    assert made.value("task") == "regression"
    assert made.value("stopping.tolerance") == pytest.approx(2.0, rel=0.51)
    assert "GUESS" in made.why("stopping.tolerance")
    assert any("repeats" in words for words in made.unknown)
    accepted(made, tmp_path)


def test_log_potencies_are_right_within_half_a_log(smiles, tmp_path):
    made = propose(write(tmp_path / "p.csv", {"smiles": smiles, "pIC50": [4 + 0.013 * n for n in range(N)]}))
    assert (made.value("stopping.tolerance"), made.value("stopping.gamma")) == (0.5, 0.9)
    assert "half a log unit" in made.why("stopping.tolerance")


def scores(n_hits):
    """Of a primary screen: most are noise, some lie far above it."""
    noise = np.random.default_rng(0).normal(10.0, 4.0, N)
    noise[:n_hits] = 60.0
    return [f"{value:.2f}" for value in noise]


def test_a_score_is_cut_three_deviations_above_the_median_where_hits_are_wanted(smiles, tmp_path):
    file = write(tmp_path / "primary.csv", {"id": ids(N), "smiles": smiles, "inhibition": scores(12)})
    values = propose(file)
    assert values.value("task") == "regression"
    [doubt] = [words for words in values.unknown if "--hits" in words]
    made = propose(file, hits=True)
    cut = made.value("labels.threshold")
    assert (made.value("labels.transform"), made.value("labels.classes")) == ("threshold", ["inactive", "active"])
    numbers = np.array(scores(12), float)
    middle = np.median(numbers)
    spread = 1.4826 * np.median(abs(numbers - middle))
    assert cut == pytest.approx(middle + 3 * spread, rel=0.01)
    assert f"takes the cut {cut:g}, a GUESS: 3 robust standard deviations above the median" in doubt
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("recall", "active")
    assert any("labels.threshold" in words for words in made.unknown)
    assert int((accepted(made, tmp_path)[1].labels == 1).sum()) == 12


@pytest.mark.parametrize(
    ("name", "values", "cut", "classes", "why"),
    [
        ("docking score", [-0.1 * n for n in range(N)], -29.6, ["active", "inactive"], "the lowest 1%"),
        ("response", [2.0**n for n in range(N)], None, ["inactive", "active"], "the highest 1%"),
        ("signal", [1000 + 0.001 * n for n in range(N)], 1000.296, ["inactive", "active"], "the highest 1%"),
        (
            "inhibition",
            [min(100.0, 0.5 * n) for n in range(N)],
            99.5,
            ["inactive", "active"],
            "the highest value, which many have; 33.3% are above it",
        ),
        ("pIC50", [4 + 0.013 * n for n in range(N)], 6.0, ["inactive", "active"], "1 µM: 48.7% are more potent"),
    ],
)
def test_other_scores_are_cut_at_the_best_per_cent_and_potencies_at_a_concentration(
    smiles, tmp_path, name, values, cut, classes, why
):
    made = propose(write(tmp_path / "scores.csv", {"smiles": smiles, name: values}), hits=True)
    assert why in made.why("labels.threshold")
    assert made.value("labels.classes") == classes
    assert cut is None or made.value("labels.threshold") == pytest.approx(cut)
    labels = accepted(made, tmp_path)[1]
    assert 0 < int((labels.labels == classes.index("active")).sum()) < N


def test_hits_are_cut_out_of_numbers_only(smiles, tmp_path):
    words = write(tmp_path / "words.csv", {"smiles": smiles, "outcome": hits(N, 0.4, ("inactive", "active"))})
    for given in ({}, {"unlabelled": True}):
        with pytest.raises(InputFileError, match="one column of numbers"):
            propose(words, hits=True, **given)


def places(n):
    wells = [f"{row}{column}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    return {"Stock plate": [f"SP{k // 100}" for k in range(n)], "Stock well": [wells[k] for k in range(n)]}


def test_where_compounds_lie_becomes_pick_lists_of_what_is_to_be_measured(smiles, tmp_path):
    read = {"plate": ["A"] * N, "well": ["A1"] * N}
    file = write(tmp_path / "stock.csv", {"id": ids(N), "smiles": smiles, **places(N), **read})
    made = propose(file)
    assert made.value("library.columns") == ["Stock plate", "Stock well"]
    plates = made.config().plates
    assert (plates.source_plate_column, plates.source_well_column) == ("Stock plate", "Stock well")
    assert (plates.source_format, plates.transfer_volume) == (384, "25 nL")
    assert set(made.left) == {"plate", "well"}
    assert any("how much is transferred" in words for words in made.unknown)
    library, _ = accepted(made, tmp_path)
    assert list(library.column("Stock well", np.arange(2))) == ["A1", "A2"]


def test_places_in_a_past_screen_are_said_and_change_no_replay(smiles, tmp_path):
    columns = {"id": ids(N), "smiles": smiles, "hit": hits(N, 0.3)}
    made = propose(write(tmp_path / "past.csv", {**columns, **places(N)}))
    assert made.value("library.columns") is None
    assert made.config().plates is None
    assert any("'Stock plate' and 'Stock well'" in words for words in made.unknown)
    nowhere = {**places(N), "Stock well": ["shelf"] * N}
    assert not any("lie" in words for words in propose(write(tmp_path / "no.csv", {**columns, **nowhere})).unknown)


def test_many_columns_of_zero_and_one_are_a_panel(smiles, tmp_path):
    columns = {f"assay {k}": random.Random(k).choices(["", 0, 0, 1], k=N) for k in range(3)}
    columns["assay 0"] = [0, 1] * (N // 2)
    made = propose(write(tmp_path / "panel.csv", {"smiles": smiles, **columns}))
    assert made.value("task") == "panel"
    assert made.value("labels.columns") == ["assay 0", "assay 1", "assay 2"]
    assert made.value("stopping.quantity") == "accuracy"
    rare = {f"assay {k}": hits(N, 0.02) for k in range(3)}
    assert propose(write(tmp_path / "rare.csv", {"smiles": smiles, **rare})).value("stopping.quantity") == "recall"


def test_columns_of_both_kinds_that_are_named_are_a_panel_with_a_claim_about_each(smiles, tmp_path):
    columns = {"hit": [0, 1] * (N // 2), "logD": [0.011 * n for n in range(N)], "IC50_nM": [n + 1.5 for n in range(N)]}
    columns["logD"][3] = ""
    file = write(tmp_path / "both.csv", {"smiles": smiles, **columns})
    made = propose(file, label=["hit", "logD"])
    assert (made.value("task"), made.value("labels.columns")) == ("panel", ["hit", "logD"])
    assert made.value("labels.numbers") == ["logD"]
    assert made.value("stopping.panel.gamma") == {"hit": 0.95, "logD": 0.9}
    assert made.value("stopping.tolerances")["logD"] > 0
    assert "one value for every compound" in made.why("stopping.tolerances")
    accepted(made, tmp_path)
    with pytest.raises(InputFileError, match="without bounds that are no concentrations"):
        propose(file, label=["hit", "IC50_nM"])


def test_rare_hits_beside_numbers_are_to_be_found(smiles, tmp_path):
    columns = {"hit": hits(N, 0.03), "often": [0, 1] * (N // 2), "logD": [0.011 * n for n in range(N)]}
    made = propose(write(tmp_path / "both.csv", {"smiles": smiles, **columns}), label=["hit", "often", "logD"])
    assert made.value("stopping.panel.quantity") == {"hit": "recall"}
    assert made.value("stopping.panel.gamma") == {"hit": 0.8, "often": 0.95, "logD": 0.9}
    assert "hit: 3" in made.why("stopping.panel.quantity")
    assert any("learn from" in words for words in made.unknown)
    accepted(made, tmp_path)


def test_a_panel_with_empty_compounds_is_refused_with_the_way_out(smiles, tmp_path):
    columns = {f"y{k}": ["", *([0, 1] * N)[: N - 1]] for k in range(2)}
    with pytest.raises(InputFileError, match=r"1 compounds have no readout in any of the 2 outputs"):
        propose(write(tmp_path / "panel.csv", {"smiles": smiles, **columns}))


def test_an_sdf_with_a_title_and_an_outcome_of_pubchem(smiles, tmp_path):
    outcome, records = hits(N, 0.05, (1, 2)), []
    for number, text in enumerate(smiles):
        block = Chem.MolToMolBlock(Chem.MolFromSmiles(text))
        records.append(f"{block}> <Compound ID>\nM{number}\n\n> <PUBCHEM_OUTCOME>\n{outcome[number]}\n\n$$$$\n")
    file = tmp_path / "vendor.sdf"
    file.write_text("".join(records))
    made = propose(file)
    assert made.value("library.id_column") == "Compound ID"
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("recall", "2")
    assert accepted(made, tmp_path)[0].n_rows == N


def test_a_compressed_table_with_semicolons_and_labels_missing(smiles, tmp_path):
    label = ["" if number % 10 == 0 else ("no", "yes")[number % 3 == 0] for number in range(N)]
    file = write(tmp_path / "plates.csv.gz", {"cpd id": ids(N), "smiles": smiles, "hit": label, "well": ids(N)}, ";")
    made = propose(file)
    assert (made.value("labels.column"), made.value("library.required")) == ("hit", ["hit"])
    assert "30 compounds without a label" in made.why("library.required")
    assert accepted(made, tmp_path)[0].n_rows == N - 30


def test_a_library_without_labels_is_to_be_measured(smiles, tmp_path):
    file = write(tmp_path / "stock.csv", {"id": ids(N), "smiles": smiles, "stock_mg": range(N), "vendor": ["A"] * N})
    made = propose(file)
    assert not made.is_measured
    assert (made.value("stopping.quantity"), made.value("labels.classes")) == ("recall", ["inactive", "active"])
    assert set(made.left) == {"stock_mg", "vendor"}
    assert any("what the laboratory calls its readout" in words for words in made.unknown)


def test_one_class_is_nothing_to_predict(smiles, tmp_path):
    file = write(tmp_path / "one.csv", {"id": ids(N), "smiles": smiles, "active": [0] * N})
    assert not propose(file).is_measured
    assert "every value is '0'" in propose(file).left["active"]
    with pytest.raises(InputFileError, match="every value is '0', so there is nothing to predict"):
        propose(file, "active")


def test_replicates_that_differ_are_counted_and_take_no_id(smiles, tmp_path):
    twice = [text for text in smiles[:150] for _ in range(2)]
    label = [0, 1] * 20 + [0, 0, 1, 1] * 65
    file = write(
        tmp_path / "twice.csv", {"sample name": [i for i in ids(150) for _ in range(2)], "smiles": twice, "y": label}
    )
    made = propose(file)
    assert made.value("library.id_column") is None
    assert "20 of its values stand there with different labels: 'X-0000', 'X-0001', " in made.left["sample name"]
    assert any("With one label for each value of 'sample name'" in words for words in made.unknown)
    assert any("20 compounds were read more than once" in words for words in made.unknown)
    assert accepted(made, tmp_path)[0].n_rows == 150


def test_codes_are_ids_whatever_their_column_is_called(smiles, tmp_path):
    columns = {"cpd": ids(N), "structure": smiles, "active": hits(N, 0.4)}
    made = propose(write(tmp_path / "codes.csv", columns))
    assert made.value("library.id_column") == "cpd"
    assert made.why("library.id_column") == "its values are codes, with a value for each compound"
    accepted(made, tmp_path)
    remarks = {"cpd": [f"from box {number}" for number in range(N)], "structure": smiles, "active": hits(N, 0.4)}
    assert propose(write(tmp_path / "remarks.csv", remarks)).value("library.id_column") is None


def test_ids_of_several_structures_are_no_ids(smiles, tmp_path):
    file = write(tmp_path / "again.csv", {"id": [*ids(N - 1), "X-0000"], "smiles": smiles, "hit": hits(N, 0.3)})
    made = propose(file)
    assert made.value("library.id_column") is None
    assert "1 of its values stand there twice, for different structures" in made.left["id"]
    accepted(made, tmp_path)


def test_numeric_codes_without_a_meaning_take_the_rarer_class_and_say_so(smiles, tmp_path):
    made = propose(write(tmp_path / "codes.csv", {"smiles": smiles, "flagged": hits(N, 0.04, (7, 3))}))
    assert (made.value("stopping.quantity"), made.value("stopping.positive")) == ("recall", "3")
    assert any("which class is a hit" in words for words in made.unknown)
    accepted(made, tmp_path)


def test_several_columns_that_may_be_the_label_are_named_for_the_user_to_choose(smiles, tmp_path):
    numbers = {"gap": [0.01 * n for n in range(N)], "dipole": [0.02 * n for n in range(N)]}
    file = write(tmp_path / "two.csv", {"smiles": smiles, **numbers})
    with pytest.raises(InputFileError, match=r"2 columns may be the label: 'gap' \(numbers, 300 filled\), 'dipole'"):
        propose(file)
    made = propose(file, "dipole")
    assert made.value("labels.column") == "dipole"
    assert made.why("labels.column").startswith("the label that was named: ")
    assert made.left["gap"] == "another one was named"
    made = propose(file, unlabelled=True)
    assert not made.is_measured
    assert made.left["gap"] == "nothing is measured, as you say"


@pytest.mark.parametrize(
    ("values", "reason", "remedy"),
    [
        (["0,5", "1", "12,25", "n.d."], "'0,5', '12,25', 'n.d.'", "a decimal point instead of a comma.*; leave cells"),
        (["1,200", "700", "3"], "'1,200'", "without commas between thousands: 1200 for '1,200'"),
        (["0.5", "> 1,5", "0.1"], "'> 1,5'", "a decimal point instead of a comma"),
        (["0.5", "1", "n.d.", "7"], "'n.d.'", "leave cells without a number empty"),
    ],
)
def test_readouts_that_cannot_be_read_as_numbers_say_what_to_write(smiles, tmp_path, values, reason, remedy):
    column = [values[number % len(values)] for number in range(N)]
    columns = {"id": ids(N), "smiles": smiles, "score": column}
    file = write(tmp_path / "scores.csv", {**columns, "hit": hits(N, 0.3)}, ";")
    left = propose(file).left
    assert next(iter(left)) == "score"  # what can be mended comes first
    assert reason in left["score"]
    assert re.search(remedy, left["score"])
    with pytest.raises(InputFileError, match=remedy):
        propose(file, "score")
    alone = write(tmp_path / "alone.csv", columns, ";")
    with pytest.raises(InputFileError, match=f"'score' may be the label: .*\n.*{remedy}.*say --unlabelled"):
        propose(alone)
    assert propose(alone, unlabelled=True).left == {"score": left["score"]}


def test_words_with_commas_and_catalogue_numbers_are_no_broken_readouts(smiles, tmp_path):
    plates = [f"{number % 16}, {number % 24}" for number in range(N)]
    numbers = [f"{number}" if number % 3 else f"{number}-A" for number in range(N)]
    file = write(tmp_path / "stock.csv", {"smiles": smiles, "place on it": plates, "supply": numbers}, ";")
    made = propose(file)
    assert not made.is_measured
    assert made.left["place on it"].startswith("its words are names or remarks")


def test_places_in_the_stock_are_said_to_be_for_pick_lists(smiles, tmp_path):
    wells = [f"{'abcdefgh'[number % 8]}{number % 12 + 1:02d}" for number in range(N)]
    series = [f"{'ABCDEFGH'[number % 8]}-{number % 12}" for number in range(N)]
    file = write(tmp_path / "stock.csv", {"id": ids(N), "smiles": smiles, "Stock well": wells, "Lot": series})
    left = propose(file).left
    assert left["Stock well"].startswith("its values are wells; a pick list needs it")
    assert left["Lot"].startswith("its words are names or remarks")


def test_a_campaign_is_called_after_its_file(smiles, tmp_path):
    columns = {"id": ids(N), "smiles": smiles, "hit": hits(N, 0.3)}
    names = {"HTS 2024 (primär).v2.csv": "HTS-2024-prim-r", "_plates.csv.gz": "plates", "ß.csv": None}
    for file, name in names.items():
        assert propose(write(tmp_path / file, columns)).value("name") == name
        assert propose(tmp_path / file).config().name == (name or "screen")


def test_a_table_without_structures_is_refused_with_its_columns(tmp_path):
    file = write(tmp_path / "bare.csv", {"name": ids(30), "hit": hits(30, 0.3)})
    with pytest.raises(InputFileError, match="none of its columns holds structures: 'name', 'hit'"):
        propose(file)


@pytest.mark.parametrize(
    ("name", "label", "goal"),
    [
        ("moleculenet_tox21", (), ("recall", 0.8)),
        ("enamine50k_4unn_docking", (), ("accuracy", 0.9)),
        ("qm9", "gap", ("accuracy", 0.9)),
    ],
)
def test_real_files(isd_data, name, label, goal):
    made = propose(isd_data / f"{name}.parquet", label)
    assert (made.value("stopping.quantity"), made.value("stopping.gamma")) == goal


def test_the_command_writes_the_file_and_names_a_command_that_works(smiles, tmp_path, monkeypatch):
    write(tmp_path / "past.csv", {"id": ids(N), "smiles": smiles, "hit": hits(N, 0.3)})
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["init", "new.toml", "--from", "past.csv"], catch_exceptions=False)
    command = re.search(r"now: isd (simulate new\.toml --out runs/new)", shown.output)
    assert command is not None, shown.output
    text = Path("new.toml").read_text()
    assert 'source = "past.csv"' in text
    assert len([line for line in text.splitlines() if " = " in line and not line.startswith("#")]) <= 15
    settings = ["model.families=['linear']", "compute.backend=local", "library.features=ecfp4", "library.workers=1"]
    ran = CliRunner().invoke(app, [*command[1].split(), *(f"--set={one}" for one in settings)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert Library.open("runs/new/library").n_rows == N


def test_the_file_of_a_library_to_be_measured_is_created_and_planned(smiles, tmp_path, monkeypatch):
    write(tmp_path / "stock.csv.gz", {"id": ids(N), "smiles": smiles})
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["init", "--from", "stock.csv.gz", "--all"], catch_exceptions=False)
    assert "now: isd create campaign.toml --out runs/campaign" in shown.output
    config = load_config(tmp_path / "campaign.toml")
    assert config == propose("stock.csv.gz").config().model_copy(update={"library": config.library})
    assert plan_campaign(config).demand.n_rows == N
    settings = ["--set=library.features=ecfp4", "--set=library.workers=1"]
    ran = CliRunner().invoke(app, ["create", "campaign.toml", "--out", "runs/campaign", *settings])
    assert ran.exit_code == 0, ran.output


def test_the_file_of_a_past_screen_with_words_also_begins_a_campaign(smiles, tmp_path, monkeypatch):
    """Without the names of the classes `isd create` refused it."""
    write(tmp_path / "past.csv", {"id": ids(N), "smiles": smiles, "outcome": hits(N, 0.4, ("inactive", "active"))})
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "--from", "past.csv"], catch_exceptions=False)
    settings = ["--set=library.features=ecfp4", "--set=library.workers=1"]
    ran = CliRunner().invoke(app, ["create", "campaign.toml", "--out", "run", *settings])
    assert ran.exit_code == 0, ran.output


def test_options_of_a_proposal_need_a_file(tmp_path):
    assert CliRunner().invoke(app, ["init", str(tmp_path / "x.toml"), "--all"]).exit_code == 2


def test_a_column_called_smiles_is_the_structure_though_a_half_of_it_is_broken(smiles, tmp_path):
    broken = [text if number % 2 else f"{text})" for number, text in enumerate(smiles)]
    columns = {"id": ids(len(smiles)), "SMILES": broken, "active": hits(len(smiles), 0.3)}
    proposal = propose(write(tmp_path / "half.csv", columns))
    assert proposal.value("library.smiles_column") in (None, "SMILES")
    assert any("structures cannot be read" in words for words in proposal.unknown)
    assert 0 < accepted(proposal, tmp_path)[0].n_rows <= len(smiles) // 2


def text_column(name, *examples):
    counts = {text: examples.count(text) for text in examples}
    return ColumnLook(name, "text", len(examples), len(examples), counts, 0, (), np.nan, np.nan, False, examples)


def test_a_comma_in_a_few_words_makes_no_numbers_of_them_and_what_describes_compounds_is_not_to_be_mended():
    words = ("inactive", "active", "inactive", "active", "active", "0,5", "0,5", "inactive")
    assert candidate(text_column("outcome", *words)).classes == ("0,5", "active", "inactive")
    commas = ("0,5", "1,5", "0,5", "1,5", "n.d.")
    assert "decimal point" in candidate(text_column("outcome", *commas)).remedy
    assert candidate(text_column("mol_weight", *commas)).remedy == ""
    assert "decimal point" in candidate(text_column("mol_weight", *commas), is_named=True).remedy
