"""A claim of a package: unverified, wherever it is shown, where its class does not pass the suite."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from isd_ray import plugins
from isd_ray.campaign import claimed
from isd_ray.campaign.status import status_of
from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.watcher import Watcher
from isd_ray.cli import app
from isd_ray.config.claims import CLAIMS, claim_named
from isd_ray.core.goals import UNVERIFIED, goal_for
from isd_ray.errors import ConfigError
from isd_ray.ops.simulate import simulate
from isd_ray.report.certificate import Certificate
from isd_ray.report.model_card import CARD_FILES
from isd_ray.report.words import status_lines, summary_lines

EXAMPLE = Path(__file__).parents[2] / "examples" / "claim_plugin" / "isd_negatives.py"
QUANTITY = "negative_predictive_value"
RIGHT = EXAMPLE.read_text(encoding="utf-8")
BROKEN = RIGHT.replace("found - audit.n_uncorrected", "found")
"""Takes a lost well for one that has put its prediction right; where no well is lost nobody sees it."""
WORDS = "    @property\n    def words(self):\n        return f'at least {self.level:g}'\n\n"
ANSWER = "    @property\n    def fixed_answer"
HIDING = BROKEN.replace(ANSWER, WORDS + ANSWER)
STOPPING = {"rule": "certify", "gamma": 0.7, "quantity": QUANTITY, "positive": "BBB-"}


class Heard(Watcher):
    def __init__(self, kill_at=None) -> None:
        self.messages, self.kill_at = [], kill_at

    def message(self, text) -> None:
        self.messages.append(text)

    def step(self, name, progress) -> None:
        if (progress.round, progress.state) == self.kill_at:
            raise KeyboardInterrupt


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a source of the example as a version of its package."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        sys.modules.pop(EXAMPLE.stem, None)
        importlib.invalidate_caches()
        claim_named.cache_clear()
        claimed._problems.cache_clear()

    def put(source: str, version: str) -> None:
        (folder / EXAMPLE.name).write_text(source, encoding="utf-8")
        forget()
        entry = SimpleNamespace(
            name=QUANTITY,
            value=f"{EXAMPLE.stem}:{QUANTITY}",
            load=lambda: getattr(importlib.import_module(EXAMPLE.stem), QUANTITY),
            dist=SimpleNamespace(name="isd-negatives", version=version),
        )
        monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == CLAIMS else [])

    assert len({RIGHT, BROKEN, HIDING}) == 3, "the example has changed, and what is broken in it here has not"
    yield put
    forget()


@pytest.fixture
def config(make_config, install):
    install(RIGHT, "0.2")
    return make_config(model={"families": ["linear"]}, stopping=STOPPING)


def shown(folder: Path) -> dict[str, str]:
    """What each place says that shows the claim."""
    store = CampaignStore.open(folder)
    certificate = Certificate.of(store)
    assert certificate is not None, "the campaign has a certificate"
    return {
        "words": certificate.content["claim"]["words"],
        "certificate": str(certificate),
        "repr": repr(certificate),
        "terminal": CliRunner().invoke(app, ["certificate", "show", str(folder)]).output,
        "status": "\n".join(answer for _, answer in status_lines(status_of(store))),
        "summary": (folder / "summary.json").read_text(),
        "report": (folder / "report.html").read_text(),
        "card": (folder / CARD_FILES[0]).read_text(),
    }


def claims_of(folder: Path) -> list[tuple[str, bool]]:
    checks = claimed.claims_on_record(CampaignStore.open(folder))
    return [(check["version"], bool(check["problems"])) for check in checks]


def test_until_its_class_passes_the_suite_all_that_shows_a_claim_says_so(install, config, tmp_path):
    install(BROKEN, "0.1")
    heard = Heard()
    result = simulate(config, tmp_path / "run", heard)
    assert result.summary["certified"]
    assert result.summary["claim"] == f"certified by a random audit, {UNVERIFIED}"
    places = shown(tmp_path / "run") | {
        "messages": "\n".join(heard.messages),
        "lines": str(summary_lines(result.summary)),
    }
    for place, text in places.items():
        assert UNVERIFIED in text, f"{place} hides it"
    assert "UNVERIFIED CLAIM: it is defined by the package isd-negatives 0.1" in places["terminal"].replace("\n", " ")
    assert "stops falsely with probability" in places["certificate"]


def test_of_a_claim_that_passes_nothing_of_the_kind_is_said(config, tmp_path):
    heard = Heard()
    result = simulate(config, tmp_path / "run", heard)
    assert result.summary["claim"] == "certified by a random audit"
    places = shown(tmp_path / "run") | {"messages": "\n".join(heard.messages)}
    for place, text in places.items():
        assert UNVERIFIED not in text.lower(), f"{place} says it"
    assert "isd-negatives 0.2. Its class passed the suite" in places["certificate"]
    assert simulate(config, tmp_path / "run").summary == result.summary
    assert claims_of(tmp_path / "run") == [("0.2", False)]


@pytest.mark.parametrize(("first", "second"), [(BROKEN, RIGHT), (RIGHT, BROKEN)], ids=["mended", "spoilt"])
def test_all_code_that_a_campaign_went_by_has_to_pass(install, config, tmp_path, first, second):
    install(first, "0.1")
    with pytest.raises(KeyboardInterrupt):
        simulate(config, tmp_path / "run", Heard((1, "fit")))
    install(second, "0.2")
    simulate(config, tmp_path / "run")
    assert claims_of(tmp_path / "run") == [("0.1", first == BROKEN), ("0.2", second == BROKEN)]
    for place, text in shown(tmp_path / "run").items():
        assert UNVERIFIED in text, f"{place} hides it"
    before = shown(tmp_path / "run")
    install(RIGHT + "\n", "0.3")
    simulate(config, tmp_path / "run")
    assert shown(tmp_path / "run") == before, "what is delivered was judged by the code of its time"


def test_an_unverified_claim_whose_words_hide_it_is_refused(install, config):
    install(HIDING, "0.1")
    with pytest.raises(ConfigError, match=r"'at least 0.7', hide it\n.*made with `name`"):
        goal_for(config.stopping, config.task, ("BBB+", "BBB-"), unverified=True)
    assert goal_for(config.stopping, config.task, ("BBB+", "BBB-")).words == "at least 0.7"


def test_our_own_claims_have_no_check_on_record(make_config, tmp_path):
    assert claimed.checked_claim(make_config().stopping) is None


def test_a_claim_is_called_as_its_class_says(install, config, make_config):
    install(RIGHT.replace(f'= "{QUANTITY}"', '= "npv"'), "0.1")
    with pytest.raises(ConfigError, match="whose quantity is 'npv'"):
        make_config(stopping=STOPPING)


def test_a_claim_of_classes_is_none_of_values(install, config, make_config, regression):
    with pytest.raises(ConfigError, match="claim accuracy or mae or mse, or label values by a threshold"):
        make_config(**{**regression, "stopping": {"rule": "certify", "quantity": QUANTITY}})
