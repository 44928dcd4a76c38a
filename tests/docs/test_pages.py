"""What README.md and `docs/` tell to type runs, page by page, on small files; what cannot run here exists at least."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import isd_ray
import isd_ray.config_file
from isd_ray.cli import app
from isd_ray.config_file import load_config, parse_config, tomllib
from tests.docs.pages import PAGES, ROOT, Files, blocks, commands, pieces
from tests.docs.samples import Samples
from tests.manifests.campaign_rules import parse_command
from tests.manifests.project import PROJECT

SMALL = (
    "compute.backend=local",
    "library.workers=1",
    "library.features=ecfp4",
    "model.hidden_size=8",
    "model.members=1",
    "model.epochs=2",
)
"""Settings of every campaign that a page runs; what the page says itself goes before them."""
LANGUAGES = {"bash", "python", "toml", "text"}
CAMPAIGN = {"library": {"source": "compounds.csv"}, "labels": {"column": "label"}, "acquisition": {"batch_size": 384}}


@pytest.fixture
def small_campaigns(monkeypatch):
    """Campaign files are read with settings that take seconds."""

    def small(path, overrides=()):
        return load_config(path, [*SMALL, *overrides])

    monkeypatch.setattr(isd_ray.config_file, "load_config", small)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_runs(page, compounds, tmp_path, monkeypatch, small_campaigns):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    samples = Samples(compounds, tmp_path)
    names = {"__name__": "page", "Path": Path, "truth": samples.truth, "isd_ray": isd_ray}
    for piece in pieces(page):
        if isinstance(piece, Files):
            for name in piece.names:
                samples.make(name)
        elif piece.is_run and piece.language == "python":
            code = compile("\n" * piece.line + piece.text, str(page), "exec", dont_inherit=True)
            exec(code, names)  # noqa: S102 - it is ours
        elif piece.is_run and piece.language == "bash":
            for command in commands(piece.text):
                _run(shlex.split(command, comments=True), f"{page.name}:{piece.line}")


def _run(words: list[str], where: str) -> None:
    assert words[0] == "isd", f"{where}: mark the block as not run, or teach this test {words[0]!r}"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, f"{where}: {shlex.join(words)}\n{result.output}\n{result.exception!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_say_their_language_and_why_they_are_not_run(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{page.name}:{block.line}"
        assert block.is_run or re.fullmatch(r"not run, \w.{8,}", block.mark), f"{page.name}:{block.line}"
        assert not block.is_run or not block.mark or block.mark.startswith("same as "), f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_not_run_exists(page, monkeypatch):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "bash" and not block.is_run:
            for command in commands(block.text):
                words = shlex.split(command, comments=True)
                if words[0] == "export":
                    monkeypatch.setenv(*words[1].split("=", 1))
                else:
                    _exists(words)


def _exists(words: list[str]) -> None:
    match words:
        case ["isd", *_]:
            parse_command(words)
        case ["make", target]:
            assert f"\n{target}: " in (ROOT / "Makefile").read_text()
        case ["python", "-m", module, *_]:
            assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file()
        case ["pip", "install", *arguments]:
            for argument in arguments:
                for extra in re.findall(r"\[([\w,]+)\]", argument):
                    assert extra in PROJECT["optional-dependencies"]
                if argument.startswith("./"):
                    assert (ROOT / argument / "pyproject.toml").is_file()
        case _:
            raise AssertionError(f"{words} is not known here")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_are_keys_of_a_campaign(page):
    for block in blocks(page):
        if block.language == "toml" and block.is_run:
            parse_config(_completed(tomllib.loads(block.text)))


def _completed(settings: dict) -> dict:
    """A part of a campaign file with what it needs to be whole."""
    data = {name: {**CAMPAIGN.get(name, {}), **settings.get(name, {})} for name in {*CAMPAIGN, *settings} - {"task"}}
    task = settings.get("task", "panel" if "panel" in data.get("stopping", {}) else "classification")
    if task == "panel":
        of_numbers = "quantity" in data.get("stopping", {}).get("panel", {})
        numbers = data["labels"].get("numbers", ["*"] if of_numbers else [])
        data["labels"] = {"columns": data["labels"].get("columns", ["*"]), "numbers": numbers}
    if "n_plates" in data["acquisition"]:
        del data["acquisition"]["batch_size"]
    return {**data, "task": task}


def test_blocks_that_show_a_file_are_that_file():
    shown = [block for page in PAGES for block in blocks(page) if block.mark.startswith("same as ")]
    assert shown
    for block in shown:
        assert block.text == (ROOT / block.mark.removeprefix("same as ")).read_text(encoding="utf-8")


def test_what_is_mentioned_in_passing_exists():
    """Commands, and keys with their section, between backticks."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    verbs = {command.split()[1] for command in inline if re.fullmatch(r"isd [a-z-]+.*", command)}
    assert len(verbs) > 10
    assert verbs <= set(typer.main.get_command(app).commands)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 10_000
