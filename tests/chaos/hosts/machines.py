"""Hosts on one machine: namespaces of Linux, joined by a switch, whose cables, disks, clocks and memories are at hand.

Whoever uses them is in namespaces of its own already (`apart`): with its process everything ends.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]
DISK, DISK_SIZE, SHM_SIZE = Path("/tmp/ray"), "1g", "256m"
"""Where a host has a disk of its own; all else of the machine's disk is one that the hosts share."""
MEMORY, USED = 4 << 30, 1 << 30
"""What Ray finds to be the memory of a host, and the part of it that is in use: bytes that nobody really takes."""
_SWITCH, _NETWORK = "switch", "10.77.0"
_ACCOUNTS = Path("/sys/fs/cgroup")
_BITS = 1 << 32
_INSIDE = "ISD_TEST_APART"
TOOLS = ("unshare", "nsenter", "ip", "tc", "gcc", "pgrep")
UNSHARE = [
    *("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))),
    *("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
]
"""Root, or somebody who may be root among namespaces of their own."""
_FIRST_PROCESS = "while :; do sleep 3600 & wait; done"  # a shell takes in what others leave behind
_WAIT_S = 20.0


def apart(module: str, arguments: Sequence[str]) -> None:
    """Begin this command again in namespaces of its own, if it is not in them, and end with it.

    Its network has nothing but the switch; when its first process ends, the kernel ends all others.
    """
    if os.environ.pop(_INSIDE, None):
        _call("ip", "link", "set", "lo", "up")
        _call("ip", "link", "add", _SWITCH, "type", "bridge")
        _call("ip", "address", "add", f"{_NETWORK}.254/24", "dev", _SWITCH)
        _call("ip", "link", "set", _SWITCH, "up")
        return
    command = [*UNSHARE, sys.executable, "-m", module, *arguments]
    # Hosts have a /dev/shm of their own: temporary files that they share cannot lie there.
    usual = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    sys.exit(subprocess.run(command, check=False, env={**usual, _INSIDE: "1"}).returncode)


def what_is_missing() -> str:
    """What keeps this machine from having such hosts; empty if nothing does."""
    if lacking := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(lacking)} not installed"
    tried = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True, text=True)
    return tried.stderr.strip()


class Host:
    """A host: it has a network, processes, clocks and a disk of its own, at `DISK`, and the machine's processors.

    Parameters
    ----------
    number, name:
        Its place at the switch, and what it calls itself.
    folder:
        Of its clock, its log and its disk, which may be that of a host that was there before.
    clock:
        The library that `clock_library` made.
    """

    def __init__(self, number: int, name: str, folder: Path, clock: Path) -> None:
        self.name, self.address, self.log = name, f"{_NETWORK}.{number}", folder / f"{name}.log"
        self._cable, self._clock_file, self._disk = f"cable{number}", folder / f"{name}.clock", folder / f"{name}.disk"
        if not self._disk.exists():
            self._disk.mkdir()
            mount_disk(self._disk, DISK_SIZE)
        self._clock_file.write_bytes(struct.pack("<q", 0))
        self._environment = {
            **os.environ,
            "LD_PRELOAD": str(clock),
            "ISD_TEST_CLOCK": str(self._clock_file),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(DISK),
        }
        # It was switched on at another time than the others.
        age = str(10_000 * number)
        unshare = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        unshare += ["--time", "--monotonic", age, "--boottime", age]
        with self.log.open("a") as log:
            self._process = subprocess.Popen([*unshare, "bash", "-c", _FIRST_PROCESS], stderr=log)
        self._pid = self._first_pid()
        _call("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", str(self._pid))
        _call("ip", "link", "set", self._cable, "master", _SWITCH, "up")
        for line in (
            f"hostname {name}",
            "ip link set lo up",
            f"ip address add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {_NETWORK}.254",
            f"mount --bind {self._disk} {DISK}",
            f"mount -t tmpfs -o size={SHM_SIZE} tmpfs /dev/shm",
            f"mount -t tmpfs tmpfs {_ACCOUNTS}",
            f"mkdir {_ACCOUNTS}/memory",
        ):
            self.run(line.split()).wait(_WAIT_S)
        self._account(USED)

    def _first_pid(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        give_up = time.monotonic() + _WAIT_S
        while not (found := children.read_text().split()):
            assert time.monotonic() < give_up, "no host came to be"
            time.sleep(0.02)
        return int(found[0])

    def run(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, output: IO[str] | int | None = None
    ) -> subprocess.Popen[str]:
        """Begin a command on this host."""
        enter = ["nsenter", "--target", str(self._pid), "--net", "--mount", "--uts", "--pid", "--time"]
        words = [*enter, "env", f"--chdir={ROOT}", *command]
        return subprocess.Popen(
            words, env={**self._environment, **(environment or {})}, stdout=output, stderr=output, text=True
        )

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._process.poll() is None

    def switch_off(self, *, keep_disk: bool = False) -> None:
        """Take its power away: all of its processes end at once, what is in memory is gone, and its disk if so told."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, 9)
        self._process.wait(_WAIT_S)
        if not keep_disk and self._disk.exists():
            unmount_disk(self._disk)
            self._disk.rmdir()
        # Its cable would go a while later by itself.
        subprocess.run(["ip", "link", "delete", self._cable], check=False, stderr=subprocess.DEVNULL)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Nothing goes in or out at its cable, and nobody is told."""
        with self.lossy(1.0):
            yield

    @contextmanager
    def lossy(self, share: float) -> Iterator[None]:
        """A random share of the packets is lost at its cable, each way."""
        # load a random number; is it at or above the limit? no: drop (2), yes: go on (-1)
        limit = min(int(share * _BITS), _BITS - 1)
        program = f"4,32 0 0 {_BITS - 4096 + 56},53 1 0 {limit},6 0 0 2,6 0 0 {_BITS - 1}"
        _call("tc", "qdisc", "add", "dev", self._cable, "clsact")
        for way in ("ingress", "egress"):
            _call("tc", "filter", "add", "dev", self._cable, way, "bpf", "da", "bytecode", program)
        yield
        _call("tc", "qdisc", "del", "dev", self._cable, "clsact")

    def set_clock(self, ahead_s: float) -> None:
        """Set the time of day of all of its processes ahead of the machine's, or back."""
        with self._clock_file.open("r+b") as file:
            file.write(struct.pack("<q", int(ahead_s * 1e9)))

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Its disk has no byte left."""
        filler = self._seen(DISK) / "filler"
        fill(filler)
        yield
        filler.unlink()

    @contextmanager
    def short_of_memory(self) -> Iterator[None]:
        """Ray finds its memory used up."""
        self._account(MEMORY - (1 << 20))
        yield
        self._account(USED)

    def has_process(self, title: str) -> bool:
        """Whether a process with such a title runs there."""
        return self.run(["pgrep", "--full", title], output=subprocess.DEVNULL).wait(_WAIT_S) == 0

    def _account(self, used: int) -> None:
        accounts = {
            "memory.limit_in_bytes": f"{MEMORY}",
            "memory.usage_in_bytes": f"{used}",
            "memory.stat": "total_inactive_file 0\ntotal_active_file 0\ninactive_file 0\nactive_file 0",
        }
        for name, text in accounts.items():
            (self._seen(_ACCOUNTS) / "memory" / name).write_text(f"{text}\n")

    def _seen(self, path: Path) -> Path:
        """A path of this host as it is seen from outside."""
        return Path(f"/proc/{self._pid}/root{path}")


def clock_library(folder: Path) -> Path:
    """Compile what gives a process another time of day."""
    library = folder / "clock.so"
    _call("gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("clock.c")), "-ldl")
    return library


def mount_disk(folder: Path, size: str) -> None:
    """Have a folder lie on a disk of its own, as those see it that are apart with this process."""
    _call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))


def unmount_disk(folder: Path) -> None:
    """The end of `mount_disk`, when no host is on; what this process still has open of it stays to the end."""
    _call("umount", "--lazy", str(folder))


def fill(file: Path) -> None:
    """Write into a file until its disk is full."""
    with file.open("wb", buffering=0) as sink:
        for size in (1 << 20, 1 << 12, 1):
            with suppress_full():
                while True:
                    sink.write(bytes(size))


@contextmanager
def suppress_full() -> Iterator[None]:
    """What is written in the block may find the disk full."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _call(*command: str) -> None:
    subprocess.run(command, check=True)
