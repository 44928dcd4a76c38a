"""Small files that the pages of the documentation work on."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import tomli_w

from tests.docs.pages import ROOT

N_COMPOUNDS = 400
CLASSES = ("inactive", "active")
CAMPAIGN = {
    "name": "kinase",
    "library": {"source": "compounds.csv", "id_column": "name", "features": "ecfp4", "block_rows": 64},
    "labels": {"column": "label", "classes": CLASSES},
    "acquisition": {"batch_size": 60},
    "stopping": {"gamma": 0.6},
}
PLATES = {"format": 96, "negative": {"columns": [1]}, "positive": {"columns": [12]}}


def install_plugin(folder: Path, name: str = "plugin") -> Path:
    """Install a package of `examples` into a folder of modules, which is returned."""
    source = shutil.copytree(ROOT / "examples" / name, folder / name)  # builds leave files in it
    install = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([*install, "--target", folder / "site", source], check=True)
    return folder / "site"


class Samples:
    """Makes them in a folder; `truth` is the label of each compound."""

    def __init__(self, compounds: Path, folder: Path) -> None:
        table = pyarrow.csv.read_csv(compounds)
        self.table = table.take(pa.array(range(0, table.num_rows, table.num_rows // N_COMPOUNDS))).slice(0, N_COMPOUNDS)
        labels = [CLASSES[name == "BBB+"] for name in self.table["bbb"].to_pylist()]
        names = [f"C{700 + number:04d}" for number in range(len(labels))]
        self.table = pa.table({**self.table.to_pydict(), "name": names, "label": labels})
        self.truth = dict(zip(names, labels, strict=True))
        self.folder = folder

    def make(self, name: str) -> None:
        """Make the file, or folder, of that name."""
        getattr(self, "make_" + name.replace(".", "_"))()

    def make_compounds_csv(self) -> None:
        pyarrow.csv.write_csv(self.table.select(["name", "smiles", "label"]), self.folder / "compounds.csv")

    def make_campaign_toml(self) -> None:
        self.make_compounds_csv()
        self._write("campaign.toml", CAMPAIGN)

    def make_laboratory_toml(self) -> None:
        """With plates and hit calling, as `examples/laboratory.toml`."""
        hits = {"method": "percent_inhibition", "cut": 50.0, "min_z_prime": 0.4}
        labels = {**CAMPAIGN["labels"], "column": "signal"}
        own = {"name": "plates", "labels": labels, "plates": PLATES, "hits": hits}
        self._write("laboratory.toml", {**CAMPAIGN, **own})

    def make_panel_toml(self) -> None:
        """Three outputs of which two follow from the structure."""
        smiles = self.table["smiles"].to_pylist()
        outputs = {f"NR-{part}": [int(part in text) for text in smiles] for part in ("N", "Cl", "S")}
        columns = {name: self.table[name] for name in ("name", "smiles")}
        pyarrow.csv.write_csv(pa.table({**columns, **outputs}), self.folder / "panel.csv")
        library = {**CAMPAIGN["library"], "source": "panel.csv"}
        self._write("panel.toml", {**CAMPAIGN, "task": "panel", "library": library, "labels": {"columns": ["NR-*"]}})

    def make_numbers_toml(self) -> None:
        """One output of classes and two of numbers, all of which follow from the structure."""
        smiles = self.table["smiles"].to_pylist()
        outputs = {
            name: [sum(map(text.count, of)) for text in smiles] for name, of in (("atoms", "CNOcno"), ("rings", "12"))
        }
        columns = {name: self.table[name] for name in ("name", "smiles")}
        hit = [int("N" in text) for text in smiles]
        pyarrow.csv.write_csv(pa.table({**columns, "hit": hit, **outputs}), self.folder / "numbers.csv")
        claims = {"quantity": {"atoms": "mae"}, "max_loss": {"atoms": 3.0}, "loss_clip": {"atoms": 10.0}}
        tolerances = {"atoms": 5.0, "rings": 2.0}
        own = {
            "task": "panel",
            "library": {**CAMPAIGN["library"], "source": "numbers.csv"},
            "labels": {"columns": ["hit", "atoms", "rings"], "numbers": ["atoms", "rings"]},
            "stopping": {**CAMPAIGN["stopping"], "tolerances": tolerances, "panel": claims},
        }
        self._write("numbers.toml", {**CAMPAIGN, **own})

    def make_catalogue(self) -> None:
        (self.folder / "catalogue").mkdir()
        for part in range(2):
            piece = self.table.slice(part * 100, 100)
            with gzip.open(self.folder / "catalogue" / f"part-{part}.csv.gz", "wb") as sink:
                pyarrow.csv.write_csv(piece, sink)

    def make_more_smi(self) -> None:
        lines = zip(self.table["smiles"].to_pylist()[200:], self.table["name"].to_pylist()[200:], strict=True)
        (self.folder / "more.smi").write_text("".join(f"{smiles} {name}\n" for smiles, name in lines))

    def make_plugin(self) -> None:
        install_plugin(self.folder)

    def make_model_plugin(self) -> None:
        install_plugin(self.folder, "model_plugin")

    def make_claim_plugin(self) -> None:
        install_plugin(self.folder, "claim_plugin")

    def make_examples(self) -> None:
        """The quickstart, with fewer compounds."""
        columns = {"NO.": "name", "SMILES": "smiles", "BBB+/BBB-": "bbb"}
        table = pa.table({name: self.table[of] for name, of in columns.items()})
        folder = self.folder / "examples"
        folder.mkdir()
        pyarrow.csv.write_csv(table, folder / "few.tsv", pyarrow.csv.WriteOptions(delimiter="\t"))
        text = (ROOT / "examples" / "quickstart.toml").read_text(encoding="utf-8")
        for ours, small in (
            ("package:B3DB/B3DB_classification.tsv", "few.tsv"),
            ("batch_size = 400", "batch_size = 80"),
        ):
            assert ours in text
            text = text.replace(ours, small)
        (folder / "quickstart.toml").write_text(text)

    def _write(self, name: str, config: dict) -> None:
        (self.folder / name).write_text(tomli_w.dumps(config))
