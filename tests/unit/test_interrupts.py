"""Ctrl-C while trees are fitted ends a command cleanly, and the same command goes on; it was an abort of XGBoost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from isd_ray.config_file import to_toml
from isd_ray.models.interrupts import interrupts_held

HELD = (signal.SIGINT, signal.SIGTERM)
PRESSED = """
import os, signal, sys
from isd_ray.models.sparse import Columns

matrix, calls = Columns.matrix, 0

def pressing(self, *given):
    global calls
    calls += 1
    if calls == {at}:
        os.kill(os.getpid(), signal.SIGINT)
    return matrix(self, *given)

Columns.matrix = pressing
from isd_ray.cli import main
sys.argv = ["isd", "simulate", {config!r}, "--out", {out!r}]
main()
"""


@pytest.mark.parametrize("at", [1, 2, 4])  # XGBoost goes through the rows four times: in the last ones it aborted
def test_ctrl_c_while_rows_are_handed_to_xgboost_is_a_clean_stop(at, make_config, tmp_path):
    config, out = tmp_path / "campaign.toml", tmp_path / "run"
    settings = {"families": ["boosted"], "members": 1, "boosted": {"trees": 2}}
    config.write_text(to_toml(make_config(model=settings, stopping={"rule": "none", "max_fraction": 0.3})))
    code = PRESSED.format(at=at, config=str(config), out=str(out))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 130, ended.stderr
    assert "stopped; the same command continues where it was" in ended.stderr
    assert not {word for word in ("terminate called", "ignored", "Traceback") if word in ended.stderr}
    if at == 4:
        command = [sys.executable, "-m", "isd_ray", "simulate", str(config), "--out", str(out)]
        again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert again.returncode == 0, again.stderr
        assert (out / "summary.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block_and_is_not_lost(number):
    class Asked(BaseException):
        pass

    def asked(*given):
        raise Asked

    done, before = [], signal.signal(number, asked)
    try:
        with pytest.raises(Asked):
            held(number, done)
        assert done == ["all of it"]
        assert signal.getsignal(number) is asked
    finally:
        signal.signal(number, before)


def held(number, done):
    with interrupts_held():
        os.kill(os.getpid(), number)
        done.append("all of it")


def test_another_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with interrupts_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_each_signal_that_came_is_handled_where_an_earlier_one_is_only_noted():
    heard = []
    before = {number: signal.signal(number, lambda got, _: heard.append(got)) for number in HELD}
    try:
        with interrupts_held():
            for number in (*HELD, *HELD):
                os.kill(os.getpid(), number)
            assert heard == []
        assert heard == list(HELD)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_between_two_handlers_leaves_none_of_them_deaf(monkeypatch):
    class Asked(BaseException):
        pass

    def asked(*given):
        raise Asked

    set_handler, before = signal.signal, {number: signal.signal(number, asked) for number in HELD}

    def asked_first(number, handler):
        if number == signal.SIGTERM and handler is not asked:
            os.kill(os.getpid(), number)
        return set_handler(number, handler)

    try:
        monkeypatch.setattr(signal, "signal", asked_first)
        with pytest.raises(Asked), interrupts_held():
            pass
        assert [signal.getsignal(number) for number in HELD] == [asked, asked]
    finally:
        for number, handler in before.items():
            set_handler(number, handler)


def test_what_is_ignored_or_ends_the_process_by_itself_is_left_alone():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupts_held():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
