"""What was saved, what is claimed, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isd_ray.campaign.amend import no_longer_claimed
from isd_ray.campaign.certificate import certificate_lines
from isd_ray.campaign.confirmed import confirmed_lines
from isd_ray.campaign.constant import COMPARED, range_words
from isd_ray.campaign.status import status_of
from isd_ray.core.trips import trips_until
from isd_ray.report.blocks import Block, Facts, ReportSection, Text, Tile, Tiles
from isd_ray.report.numbers import counted, duration
from isd_ray.report.record import Record
from isd_ray.report.words import TRIPS, accuracy_name, is_all_measured, percent, status_lines, summary_lines

HEURISTIC = (
    "The stop was decided by the rule of the paper (Eq. 5 and 6). It is a heuristic: it holds where confident "
    "predictions are right more often than unconfident ones, and it can stop falsely where a confident region is wrong."
)


def headline(record: Record) -> ReportSection:
    """The first section: of a screen that goes on, where it stands."""
    return _in_progress(record) if record.summary is None else _finished(record, record.summary)


def _finished(record: Record, summary: Mapping[str, Any]) -> ReportSection:
    n_target = summary["n_target"]
    n_trips = trips_until(record.rounds, summary["stopped_at_round"])
    tiles = [
        Tile(
            f"{summary['n_predicted']:,}", f"compounds saved: {percent(summary['n_predicted'] / n_target)} not measured"
        ),
        Tile(
            f"{summary['n_acquired']:,}", f"compounds measured: {percent(summary['fraction_acquired'])} of {n_target:,}"
        ),
        Tile(f"{n_trips:,}", _trips(record, summary, n_trips)),
        _claimed(record, summary),
    ]
    if summary.get("constant_range"):
        what = "as many compounds picked at random" if record.goal.takes_hits else "the best single answer for all"
        if record.config.stopping.mixes_hits:
            what = "the best single answer for all, or by hits of as many compounds picked at random"
        words = f"{record.goal.name} of {what}, without any model"
        tiles.append(Tile(range_words(*summary["constant_range"]), words))
    if summary["system_accuracy"] is not None:
        name = accuracy_name(summary["task"]).lower()
        tiles.append(Tile(percent(summary["system_accuracy"]), f"true {name} of the whole screen (labels are known)"))
    if summary["quantity"] != "accuracy" and summary["system_value"] is not None:
        tiles.append(Tile(f"{summary['system_value']:.4g}", f"true {record.goal.name} (labels are known)"))
    blocks: list[Block] = [Tiles(tuple(tiles))]
    withdrawn, certificate = no_longer_claimed(record.store), record.store.certificate()
    if withdrawn is not None:
        blocks.append(Text(f"The certificate of this screen is WITHDRAWN: {withdrawn}", "alarm"))
    elif certificate is not None:
        blocks += [Text(line, "note") for line in certificate_lines(certificate)]
        blocks += [Text(line, "note") for line in confirmed_lines(record.store)]
    if summary["calibration_alarm"]:
        words = "confident predictions were wrong more often than unconfident ones, in at least one round."
        blocks.append(Text(f"Calibration alarm: {words}", "alarm"))
    if summary["rule"] == "paper":
        blocks.append(Text(HEURISTIC, "note"))
    blocks.append(Facts(tuple(summary_lines(summary)), "Summary of the screen"))
    return ReportSection("In short", "short", tuple(blocks))


def _trips(record: Record, summary: Mapping[str, Any], n_trips: int) -> str:
    """Trips with the rounds that they belong to, and where a laboratory measured the time they took."""
    rounds = counted(summary["stopped_at_round"] + 1, "round")
    words = f"{'trip' if n_trips == 1 else 'trips'} to the laboratory, in {rounds}"
    taken = record.elapsed()
    return words if taken is None else f"{words} and {duration(taken)}, from the first release to the last decision"


def _claimed(record: Record, summary: Mapping[str, Any]) -> Tile:
    goal = record.goal
    if is_all_measured(summary):
        return Tile("all", "compounds are measured: nothing is predicted", True)
    if summary["accuracy_claimed"] is None:
        return Tile("none", f"no claim is certified; the goal was: {goal.words}", False)
    if goal.outputs and summary["certified"]:
        return Tile("certified", f"{goal.words}, with confidence {percent(1 - summary['delta'])}", True)
    number = f"{goal.sign} {summary['accuracy_claimed']:.4g}"
    if summary["certified"]:
        return Tile(number, f"{goal.name}, certified with confidence {percent(1 - summary['delta'])}", True)
    return Tile(number, f"{goal.name} by a heuristic bound, not certified")


def _in_progress(record: Record) -> ReportSection:
    words = "This screen is IN PROGRESS. What follows is what is on record so far; it proves nothing about the end."
    blocks: list[Block] = [Text(words, "alarm")]
    status = status_of(record.store)
    if record.store.manifest["in_laboratory"]:
        pairs = status_lines(status)
    else:
        last = record.rounds[-1] if record.rounds else {"round": "none yet", "n_acquired": 0, "decision": None}
        status = status_of(record.store)
        pairs = [
            ("Last decided round", str(last["round"])),
            ("Measured", f"{last['n_acquired']:,} of {record.n_target:,} compounds"),
            (TRIPS, f"{status.n_trips:,}"),
            ("Goal", f"{record.goal.words} (rule {record.config.stopping.rule})"),
            *([(COMPARED, status.constant)] if status.constant else []),
            *(("Warning", words) for words in status.warnings),
        ]
    blocks.append(Facts(tuple(pairs), "Where the screen stands"))
    return ReportSection("In short", "short", tuple(blocks))
