"""Where a campaign lives: a folder of a file system, or of an object store with a copy on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from isd_ray.errors import StoreError
from isd_ray.storage.addresses import address_of, is_uri, within
from isd_ray.storage.client import create_object, list_objects, read_object, send
from isd_ray.storage.copies import fetched, keep_copy, local_path
from isd_ray.storage.files import put_if_absent, sync_tree


class Folder:
    """A folder on a local or shared POSIX file system.

    Parameters
    ----------
    address:
        The folder; see `folder_at`.

    Attributes
    ----------
    path:
        Where its files are read and written on this machine.
    """

    def __init__(self, address: str) -> None:
        self.path = local_path(address)
        self.address = address if is_uri(address) else str(self.path)

    def address_of(self, path: Path) -> str:
        """What other machines know a file or folder in here as."""
        return str(path)

    def create(self, file: Path, data: bytes) -> bool:
        """Create a file, durably and whole or not at all; False if it exists already (`put_if_absent`)."""
        return put_if_absent(file, data)

    def refuse_overwriting(self, file: Path, data: bytes) -> None:
        """Refuse a place where a second create of an existing file succeeds; here links forbid it."""

    def holds(self, file: Path) -> bool:
        """Whether there is a file, one of those that never change."""
        return file.is_file()

    def holds_now(self, file: Path) -> bool:
        """Whether there is a file; afterwards it is what was written last."""
        return file.is_file()

    def names_it(self, file: Path) -> bool:
        """Whether there is the file that names what lives here."""
        return file.is_file()

    def names(self, path: Path) -> set[str]:
        """Names of the files in a folder; none where there is no folder."""
        return {file.name for file in path.iterdir()} if path.is_dir() else set()

    def keep(self, path: Path) -> None:
        """Make a folder durable, all files in it: what a decision names must outlive a power cut."""
        sync_tree(path)

    def keep_file(self, file: Path) -> None:
        """Have others see a file that was written anew."""

    def bring(self, path: Path) -> None:
        """Have all files of a folder here; of files that change the last state."""


class RemoteFolder(Folder):
    """A folder on an object store. Decisions are conditional creates there; a machine's copies are only a cache.

    A new attempt at a round has a name of its own, so files with one name have one content; those few that are written
    anew are fetched anew (`holds_now`, `bring`).
    """

    def address_of(self, path: Path) -> str:
        """See `Folder.address_of`."""
        return within(self.address, path.relative_to(self.path).as_posix())

    def create(self, file: Path, data: bytes) -> bool:
        """See `Folder.create`. A create whose answer was lost, and that was sent again, has succeeded."""
        address = self.address_of(file)
        created = create_object(address, data) or read_object(address) == data
        if created:
            keep_copy(file, data)
        return created

    def refuse_overwriting(self, file: Path, data: bytes) -> None:
        """See `Folder.refuse_overwriting`; some stores ignore the condition.

        Raises
        ------
        StoreError
            If it does: it could not keep two coordinators apart.
        """
        if create_object(self.address_of(file), data):
            raise StoreError(
                "this object store overwrites what exists, also when asked not to",
                self.address,
                "keep the campaign on a store with conditional writes, or in a shared folder",
            )

    def holds(self, file: Path) -> bool:
        """See `Folder.holds`."""
        return fetched(self.address_of(file)).is_file()

    def holds_now(self, file: Path) -> bool:
        """See `Folder.holds_now`."""
        return fetched(self.address_of(file), again=True).is_file()

    def names_it(self, file: Path) -> bool:
        """See `Folder.names_it`; copies of what lived here under another name are thrown away."""
        data = read_object(self.address_of(file))
        if self.path.is_dir() and (not file.is_file() or file.read_bytes() != data):
            shutil.rmtree(self.path)
        if data is not None:
            keep_copy(file, data)
        return data is not None

    def names(self, path: Path) -> set[str]:
        """See `Folder.names`."""
        return set(list_objects(self.address_of(path)))

    def keep(self, path: Path) -> None:
        """See `Folder.keep`; workers have sent what they wrote."""
        there = list_objects(self.address_of(path))
        for file in sorted(path.rglob("[!.]*")):  # hidden is what a killed process had not finished
            if file.is_file() and there.get(file.relative_to(path).as_posix()) != file.stat().st_size:
                send(file, self.address_of(file))

    def keep_file(self, file: Path) -> None:
        """See `Folder.keep_file`."""
        send(file, self.address_of(file))

    def bring(self, path: Path) -> None:
        """See `Folder.bring`."""
        for name in list_objects(self.address_of(path)):
            fetched(self.address_of(path / name), again=True)


def folder_at(path: str | Path) -> Folder:
    """The folder of a path or URI (raises as `local_path`)."""
    address = address_of(path)
    return RemoteFolder(address) if is_uri(address) else Folder(address)
