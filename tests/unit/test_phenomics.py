"""Maps of pheno-similarity: relations that are known come back from wells, and each step of the way is what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isd_ray.cli import app
from isd_ray.config import PhenomicsConfig
from isd_ray.config_file import load_config, parse_config
from isd_ray.core.panels import unpack_labels
from isd_ray.data.packed import labels_from
from isd_ray.data.phenomics.aggregate import nested_weights
from isd_ray.data.phenomics.build import build_map, panel_bits, similarities
from isd_ray.errors import ConfigError, InputFileError
from isd_ray.ops.simulate import simulate

CONFIG = PhenomicsConfig(embedding=("embedding",))


@pytest.fixture(scope="module")
def script(paper_script):
    return paper_script("simulate_wells")


@pytest.fixture(scope="module")
def simulated(script, tmp_path_factory):
    """A folder with simulated wells: 60 genes, 20 of them active, 150 compounds at 8 concentrations."""
    folder = tmp_path_factory.mktemp("wells")
    size = script.Size(
        genes=60,
        active_genes=20,
        guides=3,
        gene_plates=3,
        compounds=150,
        compound_experiments=2,
        compound_plates=4,
        experiments=6,
        controls=60,
        width=64,
    )
    script.simulate(size, folder)
    return folder


def map_of(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Compounds, genes and labels of a map."""
    table = pq.read_table(folder / "labels.parquet")
    outputs = json.loads(table.schema.metadata[b"outputs"])
    return table["id"].to_pylist(), outputs, unpack_labels(labels_from(table), len(outputs))


def test_relations_that_are_known_come_back_from_the_wells(simulated, tmp_path):
    """Without the controls, with the mean concentration or another quantile this fails (see the tests below, too)."""
    summary = build_map(CONFIG, "wells.parquet", tmp_path, base_dir=simulated)
    compounds, genes, labels = map_of(tmp_path)
    assert genes == [f"G{number:05d}" for number in range(20)], "the active genes, and no other"
    assert (summary["n_genes"], summary["n_genes_kept"], summary["n_compounds"]) == (60, 20, 150)
    truth = pq.read_table(simulated / "truth.parquet")
    pathways = {name: set(found) for name, found in zip(*truth.to_pydict().values(), strict=True)}
    related = np.array([[bool(pathways[compound] & pathways[gene]) for gene in genes] for compound in compounds])
    assert 0.3 < related.mean() < 0.4
    assert labels[related].mean() > 0.99
    assert labels[~related].mean() < 0.08
    table = pq.read_table(tmp_path / "genes.parquet")
    assert table["output"].to_pylist() == genes
    assert table["activity"].to_numpy() == pytest.approx(labels.mean(axis=0))
    # Genes of one pathway lie together, those of two do not.
    vectors = np.array(table["embedding"].to_pylist())
    cosines = np.corrcoef(vectors)
    same = np.arange(20)[:, None] % 4 == np.arange(20) % 4
    assert cosines[same].min() > 0.4 > abs(cosines[~same]).max()


def test_a_well_table_of_its_own_is_joined_by_well_in_any_order(simulated, tmp_path):
    whole = pq.read_table(simulated / "wells.parquet")
    embeddings = whole.select(["well_id", "embedding"])
    shuffled = embeddings.take(pa.array(np.random.default_rng(0).permutation(len(embeddings))))
    metadata = whole.drop_columns(["embedding"]).slice(100)
    vectors = np.array(shuffled["embedding"].combine_chunks().flatten()).reshape(len(shuffled), -1)
    columns = {f"feature_{place}": vectors[:, place] for place in range(vectors.shape[1])}
    pq.write_table(pa.table({"well_id": shuffled["well_id"], **columns}), tmp_path / "e.parquet")
    pq.write_table(metadata, tmp_path / "m.parquet")
    pq.write_table(whole.slice(100), tmp_path / "one.parquet")
    one = build_map(CONFIG, "one.parquet", tmp_path / "a", base_dir=tmp_path)
    two = build_map(PhenomicsConfig(), "e.parquet", tmp_path / "b", metadata="m.parquet", base_dir=tmp_path)
    assert one == two
    first, second = (pq.read_table(tmp_path / name / "genes.parquet") for name in "ab")
    assert first["output"].equals(second["output"])
    np.testing.assert_allclose(
        np.array(first["embedding"].to_pylist()), np.array(second["embedding"].to_pylist()), atol=1e-4
    )


def test_weights_are_those_of_means_of_means():
    rng = np.random.default_rng(0)
    target, guide, plate = rng.integers(0, 3, 200), rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    guide += 4 * target
    chosen = rng.random(200) < 0.8
    values = rng.normal(size=200)
    weights = nested_weights(chosen, (target, guide, plate))
    assert (weights[~chosen] == 0).all()
    for one in range(3):
        of_guides = []
        for g in np.unique(guide[chosen & (target == one)]):
            wells = chosen & (guide == g)
            of_guides.append(np.mean([values[wells & (plate == p)].mean() for p in np.unique(plate[wells])]))
        found = (weights * values)[target == one].sum()
        assert found == pytest.approx(np.mean(of_guides), abs=1e-5)
        assert abs(found - values[chosen & (target == one)].mean()) > 1e-3, "a mean over wells would look the same"


def well_table(rows):
    """Wells as (experiment, plate, kind, gene, treatment, concentration, embedding)."""
    names = ("experiment_name", "plate", "perturbation_type", "gene", "treatment", "concentration", "embedding")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return pa.table({**columns, "embedding": pa.array(columns["embedding"], pa.list_(pa.float32()))})


def controls(experiment, *vectors):
    return [(experiment, 1, "CRISPR", None, "EMPTY_control", None, vector) for vector in vectors]


@pytest.fixture
def by_hand(tmp_path):
    def write(rows, **changes):
        pq.write_table(well_table(rows), tmp_path / "w.parquet")
        config = PhenomicsConfig(embedding=("embedding",), min_activity=0.0, **changes)
        summary = build_map(config, "w.parquet", tmp_path / "map", base_dir=tmp_path)
        return summary, pq.read_table(tmp_path / "map" / "genes.parquet")

    return write


COMPOUNDS = [("A", 1, "COMPOUND", None, f"c{i}", 1.0, [float(i % 3), 1.0 - i]) for i in range(5)]


def test_embeddings_are_in_standard_deviations_of_their_own_experiment_controls(by_hand):
    """Controls of A: mean (1, 10), sd (√2, 0: centred only); of B: mean (0, 0), sd (2, 1)·√2."""
    rows = [
        *controls("A", [0.0, 10.0], [2.0, 10.0]),
        *controls("B", [-2.0, 1.0], [2.0, -1.0]),
        ("A", 1, "CRISPR", "g", "g_1", None, [1.0 + np.sqrt(2), 13.0]),
        ("B", 1, "CRISPR", "g", "g_1", None, [4 * np.sqrt(2), np.sqrt(2)]),
        *COMPOUNDS,
    ]
    _, genes = by_hand(rows)
    assert genes["embedding"].to_pylist() == [pytest.approx([(1 + 2) / 2, (3 + 1) / 2], rel=1e-6)]


def test_what_cannot_be_used_is_left_out_and_counted(by_hand):
    good = [*controls("A", [0.0, 0.0], [2.0, 2.0]), ("A", 1, "CRISPR", "g", "g_1", None, [3.0, 5.0]), *COMPOUNDS]
    bad = [
        ("A", 1, "CRISPR", "g", "g_1", None, [np.nan, 5.0]),
        ("A", None, "CRISPR", "g", "g_1", None, [90.0, 5.0]),
        ("A", 1, "CRISPR", None, "x_1", None, [90.0, 5.0]),
        ("C", 1, "CRISPR", "g", "g_1", None, [90.0, 5.0]),
        ("C", 1, "CRISPR", None, "EMPTY_control", None, [0.0, 0.0]),
        ("A", 1, "CRISPR", "h", "h_1", None, None),
    ]
    summary, genes = by_hand([*good, *bad])
    _, alone = by_hand(good)
    assert genes.equals(alone)
    assert summary["n_wells_used"] == 6
    assert summary["n_wells_without_embedding"] == 2
    assert summary["n_wells_of_no_perturbation"] == 1
    assert summary["experiments_without_controls"] == ["C"]


def test_a_gene_is_compared_with_the_best_concentration_and_cut_at_its_own_upper_spread():
    rng = np.random.default_rng(0)
    genes = rng.normal(size=(5, 6)).astype(np.float32)
    doses = rng.normal(size=(40, 6)).astype(np.float32)
    of_dose = np.sort(np.concatenate([np.arange(13), rng.integers(0, 13, 27)]))
    found = similarities(genes, doses, of_dose, 1.5)
    cosines = np.array([[g @ d / np.linalg.norm(g) / np.linalg.norm(d) for d in doses] for g in genes])
    bits = np.unpackbits(found.bits, axis=1, count=13)
    for gene in range(5):
        median, upper = np.quantile(cosines[gene], [0.5, 0.75])
        assert found.threshold[gene] == pytest.approx(median + 1.5 * (upper - median), rel=1e-4)
        best = [cosines[gene][of_dose == compound].max() for compound in range(13)]
        assert bits[gene].tolist() == [int(cosine > found.threshold[gene]) for cosine in best]
        assert found.activity[gene] == pytest.approx(bits[gene].mean())
    turned = panel_bits(found.bits, 13)
    assert np.array_equal(np.unpackbits(turned, axis=1, count=5), bits.T)


def test_blocks_of_genes_and_compounds_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    genes, doses = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(3000, 8)).astype(np.float32)
    of_dose = np.arange(3000)
    whole = similarities(genes, doses, of_dose, 2.5)
    monkeypatch.setattr("isd_ray.data.phenomics.build._CELLS", 3000 * 7)
    cut = similarities(genes, doses, of_dose, 2.5)
    assert np.array_equal(whole.bits, cut.bits)
    expected = np.packbits(np.unpackbits(whole.bits, axis=1, count=3000).T, axis=1)
    assert np.array_equal(panel_bits(whole.bits, 3000), expected)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"min_activity": 1.0}, ConfigError, "no gene is similar to a share of 1 of the compounds; the most active"),
        ({"controls": ("DMSO",)}, InputFileError, "no well has control 'DMSO'; there are 'EMPTY_control'"),
        ({"compound_kinds": ("drug",)}, InputFileError, "set phenomics.kind and phenomics.compound_kinds"),
        ({"gene": "symbol"}, InputFileError, "phenomics.gene = 'symbol' is no column"),
        ({"embedding": ("feature_*",)}, InputFileError, r"no column is called 'feature_\*'"),
        ({"embedding": ("embedding", "gene")}, InputFileError, "column 'embedding' holds no numbers"),
    ],
)
def test_what_is_wrong_is_said(changes, kind, message, simulated, tmp_path):
    config = PhenomicsConfig.model_validate({"embedding": ("embedding",), **changes})
    with pytest.raises(kind, match=message):
        build_map(config, "wells.parquet", tmp_path, base_dir=simulated)


def test_the_command_says_what_it_made(simulated, tmp_path):
    wells, out = str(simulated / "wells.parquet"), tmp_path / "map"
    done = CliRunner().invoke(
        app, ["phenomics", wells, "--out", str(out), "--set", "embedding=['embedding']", "--json"]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["n_genes_kept"] == 20
    assert json.loads((out / "summary.json").read_text())["n_genes_kept"] == 20
    assert {path.name for path in out.iterdir()} == {"labels.parquet", "genes.parquet", "summary.json"}


@pytest.mark.parametrize("head", ["outputs", "two-tower"])
def test_a_campaign_reads_what_a_map_leaves(head, simulated, tmp_path):
    build_map(CONFIG, "wells.parquet", tmp_path / "map", base_dir=simulated)
    embeddings = {"output_embeddings": str(tmp_path / "map" / "genes.parquet")} if head == "two-tower" else {}
    config = parse_config(
        {
            "task": "panel",
            "library": {
                "source": str(simulated / "compounds.parquet"),
                "id_column": "id",
                "smiles_column": "",
                "duplicates": "keep",
                "features": {"kind": "dense", "column": "embedding", "width": 64},
                "block_rows": 64,
            },
            "labels": {"source": str(tmp_path / "map" / "labels.parquet"), "columns": ["*", "!G00003"]},
            "model": {"hidden_size": 32, "epochs": 8, "head": head, **embeddings},
            "acquisition": {"batch_size": 30},
            "stopping": {"rule": "none", "max_rounds": 3},
            "compute": {"backend": "local"},
        }
    )
    result = simulate(config, tmp_path / "run")
    assert result.summary["n_acquired"] == 90
    assert load_config(tmp_path / "run" / "config.toml") == config, "TOML has no word for no column of SMILES"
    compounds, genes, labels = map_of(tmp_path / "map")
    hybrid = result.hybrid.combine_chunks()
    of_hybrid = json.loads(pq.read_schema(tmp_path / "run" / "hybrid" / "part-00000.parquet").metadata[b"outputs"])
    assert of_hybrid == [gene for gene in genes if gene != "G00003"]
    measured = np.flatnonzero(np.array(hybrid["source"].to_pylist()) == "measured")
    rows = [compounds.index(hybrid["id"][int(place)].as_py()) for place in measured]
    found = unpack_labels(labels_from(hybrid), len(of_hybrid))[measured]
    assert np.array_equal(found, np.delete(labels, genes.index("G00003"), axis=1)[rows])


def test_real_wells_are_aligned_and_aggregated(isd_data, tmp_path):
    """CPJUMP1: the embedding of a gene, computed here the long way round."""
    classes = ("apoptosis", "grape", "hole", "large")
    config = PhenomicsConfig(
        embedding=classes,
        experiment="cell_type",
        kind="treatment_type",
        gene_kinds=("crispr",),
        compound_kinds=("compound",),
        gene="target",
        guide="treatment",
        concentration="",
        control="control_type",
        controls=("negcon",),
        min_activity=0.0,
    )
    summary = build_map(config, "cpjump1_phenotype_wells.parquet", tmp_path, base_dir=isd_data)
    assert (summary["n_genes"], summary["n_compounds"], summary["n_wells_used"]) == (160, 302, 13_174)
    wells = pq.read_table(isd_data / "cpjump1_phenotype_wells.parquet").to_pylist()
    values = {id(well): np.array([np.nan if well[c] is None else well[c] for c in classes]) for well in wells}
    wells = [well for well in wells if np.isfinite(values[id(well)]).all()]
    of_lines = []
    for line in ("A549", "U2OS"):
        here = [well for well in wells if well["cell_type"] == line]
        negative = np.array([values[id(well)] for well in here if well["control_type"] == "negcon"])
        mine = [
            w
            for w in here
            if w["target"] == "ABL1" and w["treatment_type"] == "crispr" and w["control_type"] != "negcon"
        ]
        plates = sorted({well["plate"] for well in mine})
        means = [np.mean([values[id(well)] for well in mine if well["plate"] == plate], axis=0) for plate in plates]
        of_lines.append((np.mean(means, axis=0) - negative.mean(axis=0)) / negative.std(axis=0, ddof=1))
    genes = pq.read_table(tmp_path / "genes.parquet")
    place = genes["output"].to_pylist().index("ABL1")
    np.testing.assert_allclose(genes["embedding"][place].as_py(), np.mean(of_lines, axis=0), rtol=1e-3)
