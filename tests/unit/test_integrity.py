"""What was changed afterwards is found and named, before anything of it is shown or exported."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.errors import CorruptFileError
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.results import report_of
from isd_ray.ops.verify import verify
from isd_ray.storage.files import canonical_json
from tests.unit.test_laboratory import LABORATORY, isd


@pytest.fixture(scope="module")
def ended(module_config, compounds, tmp_path_factory):
    """A screen that has ended with a certificate, and its library beside it."""
    table = pyarrow.csv.read_csv(compounds)
    truth = dict(zip(table["name"].to_pylist(), table["bbb"].to_pylist(), strict=True))
    folder = tmp_path_factory.mktemp("ended")
    campaign = Campaign.create(folder / "run", module_config(**LABORATORY))
    campaign.run(lambda batch: {name: truth[name] for name in batch.ids})
    assert campaign.certificate() is not None
    return campaign.path


@pytest.fixture(scope="module")
def module_config(compounds, tmp_path_factory):
    from isd_ray.config_file import parse_config

    def make(**changes):
        library = {
            "source": str(compounds),
            "path": str(tmp_path_factory.mktemp("lib") / "library"),
            "id_column": "name",
        }
        library |= {"features": "ecfp4", "workers": 1, "block_rows": 256}
        return parse_config(
            {"name": "small", "library": library, "compute": {"backend": "local", "threads": 1}, **changes}
        )

    return make


@pytest.fixture
def run(ended, tmp_path):
    shutil.copytree(ended, tmp_path / "run")
    return tmp_path / "run"


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 4
    file.write_bytes(data)


def edit(file, **changes):
    content = json.loads(file.read_bytes())
    file.write_bytes(canonical_json(content | changes))


def invert(file):
    table = pq.read_table(file)
    labels = [{"BBB+": "BBB-", "BBB-": "BBB+"}.get(name) for name in table["label"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("label"), "label", pa.array(labels, pa.string())), file)


def first(run, pattern):
    return sorted(run.glob(pattern))[0]


def certified(run):
    """A better claim with a new id that fits it."""
    import hashlib

    file = run / "certificate.json"
    content = json.loads(file.read_bytes())
    del content["certificate_id"]
    content["claim"]["level"] = 0.99
    file.write_bytes(
        canonical_json({"certificate_id": hashlib.sha256(canonical_json(content)).hexdigest()[:16], **content})
    )


CHANGES = {
    "hybrid bit": ("hybrid/part-*.parquet", lambda run: flip(first(run, "hybrid/*.parquet"))),
    "hybrid labels": ("hybrid/part-*.parquet", lambda run: invert(first(run, "hybrid/*.parquet"))),
    "hybrid part more": (
        "hybrid/part-00099.parquet",
        lambda run: shutil.copy(first(run, "hybrid/*.parquet"), run / "hybrid/part-00099.parquet"),
    ),
    "certificate": ("certificate.json", lambda run: edit(run / "certificate.json", delta=0.001)),
    "certificate with an id that fits": ("certificate.json", certified),
    "summary": ("summary.json", lambda run: edit(run / "summary.json", n_acquired=1)),
    "summary claim": ("summary.json", lambda run: edit(run / "summary.json", accuracy_claimed=0.99)),
    "rounds": ("rounds.parquet", lambda run: flip(run / "rounds.parquet")),
    "rounds shorter": (
        "rounds.parquet",
        lambda run: pq.write_table(pq.read_table(run / "rounds.parquet").slice(1), run / "rounds.parquet"),
    ),
    "plan": ("rounds/*/attempt-*/plan.json", lambda run: edit(first(run, "rounds/*/attempt-*/plan.json"), seed=7)),
    "delivered": ("delivered.json", lambda run: edit(run / "delivered.json", n_predicted=1)),
    "event": ("events/000003.json", lambda run: edit(run / "events/000003.json", who="nobody")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_named_by_verify(run, change):
    pattern, alter = CHANGES[change]
    assert verify(CampaignStore.open(run)).is_sound
    alter(run)
    found = verify(CampaignStore.open(run))
    names = [str(file) for file in run.glob(pattern)]
    assert any(name in problem for problem in found.problems for name in names) or change == "event", found.problems
    assert not found.is_sound


@pytest.mark.parametrize("change", ["hybrid bit", "hybrid labels", "hybrid part more", "certificate"])
def test_nothing_that_was_changed_is_exported(run, tmp_path, change):
    CHANGES[change][1](run)
    with pytest.raises(CorruptFileError, match=r"part-\d+.parquet|certificate.json"):
        Campaign.open(run).export(tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in ("plan", "delivered", "event")])
def test_nothing_that_was_changed_is_reported(run, change):
    CHANGES[change][1](run)
    with pytest.raises(CorruptFileError, match=r"part-\d+|certificate.json|summary.json|rounds.parquet"):
        report_of(CampaignStore.open(run))


@pytest.mark.parametrize("change", ["certificate", "certificate with an id that fits"])
def test_a_certificate_that_was_changed_is_not_shown(run, change):
    CHANGES[change][1](run)
    with pytest.raises(CorruptFileError, match=r"certificate.json"):
        isd("certificate", "show", run)


def test_a_description_of_the_library_that_was_changed_is_named(run, tmp_path):
    store = CampaignStore.open(run)
    library = tmp_path / "library"
    shutil.copytree(store.manifest["library"], library)
    manifest = json.loads((run / "campaign.json").read_bytes()) | {"library": str(library)}
    (run / "campaign.json").write_bytes(canonical_json(manifest))
    assert verify(CampaignStore.open(run)).is_sound
    description = json.loads((library / "library.json").read_bytes())
    for changed in (
        {"features": {**description["features"], "contexts": []}},
        {"counts": {**description["counts"], "read": 1}},
        {"n_rows": 5},
    ):
        (library / "library.json").write_text(json.dumps(description | changed))
        found = verify(CampaignStore.open(run))
        assert any("library" in problem for problem in found.problems), changed


def test_the_head_shows_that_the_end_of_the_log_was_changed(run):
    status = json.loads(isd("status", run, "--json"))
    head = status["head"]
    assert len(head) == 64
    assert head in isd("status", run).replace("\n", "").replace(" ", "").replace("│", "")
    assert verify(CampaignStore.open(run), head).is_sound
    assert "no problem" in isd("verify", run, "--head", head[:12])
    last = sorted((run / "events").glob("*.json"))[-1]
    before = last.read_bytes()
    edit(last, who="nobody")
    assert verify(CampaignStore.open(run)).is_sound, "the chain alone cannot show it"
    assert not verify(CampaignStore.open(run), head).is_sound
    last.write_bytes(before)
    last.unlink()
    assert not verify(CampaignStore.open(run), head).is_sound


@pytest.mark.parametrize("head", ["", "abc", "0" * 64, "nonsense"])
def test_what_is_no_head_is_a_problem(run, head):
    assert not verify(CampaignStore.open(run), head).is_sound


def test_ask_and_tell_say_the_head(tmp_path, module_config, compounds):
    campaign = Campaign.create(tmp_path / "run", module_config(**LABORATORY))
    assert f"head of the log: {campaign.status().head}" not in isd("ask", campaign.path)
    assert f"head of the log: {campaign.status().head}" in isd("ask", campaign.path)
    name = campaign.batch().ids[0]
    (tmp_path / "a.csv").write_text(f"name,bbb\n{name},BBB+\n")
    output = isd("tell", campaign.path, tmp_path / "a.csv")
    assert f"head of the log: {CampaignStore.open(campaign.path).head()}" in output
