"""What is done to hosts has its effect, and ends: `python -m tests.chaos.hosts.effects`; no Ray, some seconds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.hosts.machines import DISK, Host, apart, clock_library

N_SENT, LOST = 200, 0.3
"""So few that a receiver which is slow drops none."""
DAY_S = 86_400.0
PORT = 9999
RECEIVE = f"""
import socket
receiver, n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
receiver.bind(("", {PORT}))
print("ready", flush=True)
receiver.settimeout(2)
try:
    while True:
        n += bool(receiver.recv(1))
except TimeoutError:
    print(n)
"""
SEND = """
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({}):
    sender.sendto(b"x", ("{}", {}))
"""


def said(host: Host, *command: str) -> str:
    """What a command prints on a host; empty if it fails."""
    with tempfile.TemporaryFile("w+") as output:
        code = host.run(command, output=output).wait()
        output.seek(0)
        return output.read().strip() if code == 0 else ""


def n_received(sender: Host, receiver: Host) -> int:
    """Of `N_SENT` packets."""
    with tempfile.NamedTemporaryFile("w+") as output:
        receiving = receiver.run([sys.executable, "-c", RECEIVE], output=output.file)
        while not Path(output.name).read_text():
            time.sleep(0.05)
        sender.run([sys.executable, "-c", SEND.format(N_SENT, receiver.address, PORT)]).wait()
        receiving.wait()
        return int(Path(output.name).read_text().split()[-1])


def main() -> None:
    """Try all; ends with an error if something has no effect."""
    apart("tests.chaos.hosts.effects", [])
    DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="isd-hosts-") as name:
        folder = Path(name)
        clock = clock_library(folder)
        one, two = (Host(number, f"host{number}", folder, clock) for number in (1, 2))
        assert said(one, "hostname") == "host1"
        assert n_received(one, two) == N_SENT
        with one.lossy(LOST):
            assert abs(n_received(one, two) / N_SENT - (1 - LOST)) < 0.15
        for cut in (one, two):
            with cut.cut_off():
                assert n_received(one, two) == 0
        assert n_received(one, two) == N_SENT

        one.set_clock(-DAY_S)
        times = [float(said(host, "date", "+%s")) for host in (one, two)]
        assert abs(times[1] - times[0] - DAY_S) < 60
        uptimes = [float(said(host, "cut", "-d.", "-f1", "/proc/uptime")) for host in (one, two)]
        assert uptimes[1] - uptimes[0] > 1000

        write = ("dd", "if=/dev/zero", f"of={DISK}/file", "bs=1", "count=1", "status=none")
        with one.full_disk():
            failed = one.run(write, output=subprocess.DEVNULL).wait()
            assert failed
            assert two.run(write).wait() == 0
        assert one.run(write).wait() == 0
        for keep_disk in (True, False):
            two.switch_off(keep_disk=keep_disk)
            assert not two.is_on
            assert one.has_process("sleep 3600")
            two = Host(2, "host2", folder, clock)
            assert bool(said(two, "ls", f"{DISK}/file")) == keep_disk
        for host in (one, two):
            host.switch_off()


if __name__ == "__main__":
    main()
