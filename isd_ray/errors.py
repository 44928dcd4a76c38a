"""The errors that isd_ray raises on purpose: each says what failed, where, and what to do about it."""

from __future__ import annotations

from isd_ray.credentials import without_credentials


class IsdError(Exception):
    """Base of every deliberate error.

    The three parts are positional so that the exception pickles by its ``args`` and crosses process borders unchanged.
    Passwords and keys in addresses are taken out of all three.

    Parameters
    ----------
    what:
        What failed, with the offending value.
    where:
        The file, line, id, configuration key or actor it concerns; empty when `what` already says so.
    remedy:
        What the reader can do now; empty when there is nothing beyond what `what` says.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        what, where, remedy = map(without_credentials, (what, where, remedy))
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  Remedy: {self.remedy}" if self.remedy else text


class ConfigError(IsdError):
    """A configuration that cannot mean anything sensible; `where` is the path of the key."""


class InputFileError(IsdError):
    """A user's file is missing, empty, unreadable, or holds nothing usable."""


class OutputFileError(IsdError):
    """A file or folder that a user named to be written cannot be."""


class LabelError(IsdError):
    """Labels or readouts that cannot be placed or used: unknown ids, NaN, one class only."""


class LibraryError(IsdError):
    """A target library that is absent, incomplete, or does not fit the configuration."""


class LibraryChangedError(LibraryError):
    """The library is no longer the one that the campaign began with."""


class CorruptFileError(IsdError):
    """A file that isd_ray wrote is truncated or altered."""


class StoreError(IsdError):
    """The campaign directory refuses: it belongs to another campaign, or a decision was already taken."""


class ResourceError(IsdError):
    """The machine or cluster lacks what was demanded: memory, a GPU, CPUs, a reachable head."""


class ActorLostError(IsdError):
    """An actor died, or stayed silent past its timeout, more often than the failure policy allows."""


class ClusterError(IsdError):
    """A Ray cluster that cannot be reached, refuses the token, is open to everybody, or has other versions."""


class WebhookError(IsdError):
    """An address does not take what is posted to it."""


class JobError(IsdError):
    """A job on a cluster that is not there, is another one, or has failed for a reason that is not ours."""


def of_system(error: OSError) -> StoreError:
    """What the operating system refuses, in words: a file without access, a full disk, one that does not answer."""
    named = "" if error.filename is None else str(error.filename)
    return StoreError(
        f"cannot be read or written ({error.strerror or error})",
        named,
        "give access to it, or make room there, and repeat the command: nothing that is on record is lost",
    )
