"""Killed between any two writes, a campaign ends in the same selections, the same stop and the same hybrid screen.

The campaign is a sequence of commands. A command is killed at each of its writes in turn, in the state that the
commands before it had left, and given again; the folder must then say what it says after the command undisturbed. So
every crash point of the whole campaign is reached, and by induction what follows it is the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from isd_ray.campaign.store import CampaignStore
from isd_ray.campaign.versions import taken_up
from isd_ray.ops.additions import add_compounds
from isd_ray.ops.campaign import Campaign
from isd_ray.ops.verify import verify
from tests.chaos.crashes import Disk, Killed, writing_to
from tests.chaos.laboratory import CONFIG, Technician, create, ledger, outcome

pytestmark = pytest.mark.timeout(1800)  # hundreds of commands, each in a folder of its own


@dataclass(frozen=True)
class Command:
    """A command of the campaign, the folder before it, what the folder says after it, and how often it wrote."""

    before: Path
    give: Callable[[Campaign], object]
    decided: dict
    said: dict
    n_writes: int


@pytest.fixture(scope="module")
def commands(laboratory_config, technician, tmp_path_factory) -> list[Command]:
    """Every command of a campaign, from its first batch to its end."""
    return commands_of(laboratory_config, technician, tmp_path_factory.mktemp("snapshots"))


@pytest.fixture(scope="module")
def in_portions(make_config, technician, tmp_path_factory) -> list[Command]:
    """Those of a campaign whose audits are measured in portions that decide on one, and release the next."""
    config = make_config(**{**CONFIG, "stopping": {**CONFIG["stopping"], "portions": 2}})
    every = commands_of(config, technician, tmp_path_factory.mktemp("portions"))
    return [command for before, command in pairwise(every) if said_of(command, "portion") > said_of(before, "portion")]


@dataclass(frozen=True)
class Clumsy(Technician):
    """Tells the wrong file first and takes it back, and a file again of which some lines are refused."""

    folder: Path = Path()

    def steps(self, number: int, ids: list[str]) -> list[Callable[[Campaign], object]]:
        """A mistake in the first batch, and what mends it."""
        if number > 0:
            return super().steps(number, ids)
        wrong, right = self.folder / "wrong.csv", self.folder / "right.csv"
        unread = f"{ids[0]},,clogged\n{ids[1]},,spilt\nnobody,BBB+,\n"
        swapped = {"BBB+": "BBB-", "BBB-": "BBB+"}
        for file, name_of in ((wrong, swapped), (right, {name: name for name in swapped})):
            lines = (f"{name},{name_of[self.truth[name]]},\n" for name in ids[2:])
            file.write_text("name,bbb,flag\n" + "".join(lines) + unread)

        def undo(campaign: Campaign) -> int:
            first = next(event["sequence"] for event in campaign.store.events() if event["kind"] == "tell")
            return campaign.undo(first, "the plates were swapped")

        return [
            lambda campaign: campaign.tell(wrong),
            undo,
            lambda campaign: campaign.tell(right),
            lambda campaign: campaign.tell(wrong),
        ]


@pytest.fixture(scope="module")
def of_a_mistake(laboratory_config, technician, tmp_path_factory) -> list[Command]:
    """Commands that tell the wrong file, take it back, tell the right one, and the wrong one again."""
    root = tmp_path_factory.mktemp("mistake")
    every = commands_of(laboratory_config, Clumsy(technician.truth, root), root)
    return every[1:5]


@dataclass(frozen=True)
class Buyer(Technician):
    """Buys compounds while the second batch is out, and has the campaign take them up."""

    library: Path = Path()
    bought: Path = Path()

    def steps(self, number: int, ids: list[str]) -> list[Callable[[Campaign], object]]:
        """As others, and the purchase."""
        if number != 1:
            return super().steps(number, ids)
        add_compounds(self.library, [str(self.bought)])
        return [take_up, *super().steps(number, ids)]


def take_up(campaign: Campaign) -> int:
    return campaign.extend("bought")


@pytest.fixture(scope="module")
def of_a_purchase(make_config, compounds, technician, tmp_path_factory) -> list[Command]:
    """The command that takes up what was bought, and that with which it joins."""
    root = tmp_path_factory.mktemp("purchase")
    header, *lines = compounds.read_text().splitlines()
    for name, part in {"base.csv": lines[:420], "bought.csv": lines[420:]}.items():
        (root / name).write_text("\n".join([header, *part]) + "\n")
    library = {"source": str(root / "base.csv"), "path": str(root / "library")}
    config = make_config(**{**CONFIG, "library": library, "model": {"families": ["linear"], "members": 1}})
    buyer = Buyer(technician.truth, root / "library", root / "bought.csv")
    every = commands_of(config, buyer, root, last_round=2)
    return [*(command for command in every if command.give is take_up), every[-1]]


def said_of(command: Command, decision: str) -> int:
    return sum(f'"decision": "{decision}"' in record for _, record in command.decided["rounds"])


def commands_of(config, technician, root: Path, last_round: int | None = None) -> list[Command]:
    """Every command of a campaign to its end, or until the batch of a round is asked for."""
    path = root / "run"
    create(path, config)
    done: list[Command] = []

    def give(command: Callable[[Campaign], object]) -> object:
        before = shutil.copytree(path, root / f"{len(done):03d}")
        with writing_to(Disk()) as disk:
            answer = command(Campaign.open(path))
        done.append(Command(before, command, outcome(path), ledger(path), disk.n_writes))
        return answer

    while (batch := give(Campaign.ask)) is not None and batch.round != last_round:
        for step in technician.steps(batch.round, sorted(batch.ids)):
            give(step)
    return done


def assert_as_undisturbed(path: Path, command: Command) -> None:
    found = outcome(path)
    assert [record for _, record in found["rounds"]] == [record for _, record in command.decided["rounds"]]
    for (batch, _), (expected, _) in zip(found["rounds"], command.decided["rounds"], strict=True):
        assert batch.equals(expected)
    assert found["certificate"] == command.decided["certificate"]
    hybrid, expected_hybrid = found["hybrid"], command.decided["hybrid"]
    assert (hybrid is None) == (expected_hybrid is None)
    assert hybrid is None or hybrid.equals(expected_hybrid)
    assert ledger(path) == command.said
    CampaignStore.open(path).settle()
    assert verify(CampaignStore.open(path)).problems == ()


def survived_points(commands, folder: Path, *, torn: bool) -> int:
    survived = 0
    for command in commands:
        for point in range(command.n_writes):
            path = shutil.copytree(command.before, folder / "run")
            disk = Disk(point, torn)
            with writing_to(disk), pytest.raises(Killed):
                command.give(Campaign.open(path))
            assert disk.dead
            if not torn or disk.tore:
                command.give(Campaign.open(path))
                assert_as_undisturbed(path, command)
                survived += 1
            shutil.rmtree(path)
    return survived


@pytest.mark.parametrize("torn", [False, True], ids=["killed", "torn"])
def test_every_crash_point_between_two_portions_of_an_audit_is_survived(torn, in_portions, tmp_path):
    assert in_portions
    assert survived_points(in_portions, tmp_path, torn=torn) >= (2 if torn else 10)


def test_every_crash_point_of_a_mistake_is_survived(of_a_mistake, tmp_path):
    kinds = [event["kind"] for event in CampaignStore.open(of_a_mistake[-1].before.parent / "run").events()]
    assert [kind for kind in kinds[1:] if kind != "fail"][:4] == ["tell", "undo", "tell", "refuse"]
    assert survived_points(of_a_mistake, tmp_path, torn=False) >= 12


def test_every_crash_point_of_a_purchase_is_survived(of_a_purchase, tmp_path):
    taken, joined = of_a_purchase
    assert [record["round"] for record in taken_up(CampaignStore.open(joined.before))] == [None]
    assert survived_points([taken, joined], tmp_path, torn=False) >= 12


@pytest.mark.parametrize("torn", [False, True], ids=["killed", "torn"])
def test_every_crash_point_is_survived(torn, commands, tmp_path, capsys):
    survived = survived_points(commands, tmp_path, torn=torn)
    n_rounds = len(commands[-1].decided["rounds"])
    with capsys.disabled():
        print(f"\n{survived} crash points of {len(commands)} commands in {n_rounds} rounds survived", end=" ")
    assert n_rounds >= 3
    assert said_of(commands[-1], "repeat")
    assert survived >= (20 if torn else 100)
