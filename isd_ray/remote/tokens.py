"""Tokens of those who call the coordinators of a cluster from elsewhere: in files, and never shown."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isd_ray.errors import ConfigError, InputFileError

TOKEN_VARIABLE = "ISD_TOKEN_FILE"
"""Variable that names the file of the token, for services and for those who call them."""
MIN_TOKEN_LETTERS = 32
"""A shorter token of a service could be guessed: nobody counts how often somebody tries."""
_TOKEN_BYTES = 32
_FORM = "each line is a token, or the name of who holds it, a space and the token"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that a service takes, as hashes, and the names of who holds them.

    Attributes
    ----------
    holders:
        SHA-256 of each token, and its name; empty where it has none.
    """

    holders: tuple[tuple[bytes, str], ...]

    @classmethod
    def read(cls, file: Path) -> Tokens:
        """Read the tokens of a file; a file that is not there is made, for its owner alone, with a new token.

        Raises
        ------
        InputFileError
            If it can be neither read nor made, or holds something else.
        ConfigError
            If a token is too short.
        """
        if not file.exists():
            _make(file)
        found = [_holder(words, file) for words in _lines(file)]
        if not found:
            raise InputFileError("holds no token", str(file), f"{_FORM}; without the file one is made")
        return cls(tuple((hashlib.sha256(token.encode()).digest(), name) for name, token in found))

    def holder(self, token: str) -> str | None:
        """The name of who holds a token, empty where it has none; None if it is none of them.

        Every one is compared, each in the same time, so that the time of an answer tells nothing.
        """
        given, found = hashlib.sha256(token.encode()).digest(), None
        for known, name in self.holders:
            if secrets.compare_digest(given, known):
                found = name
        return found


def own_token() -> str | None:
    """The token of this caller, from the file that `TOKEN_VARIABLE` names; None without the variable.

    Raises
    ------
    InputFileError
        If the file cannot be read, or does not hold one token.
    """
    if not (named := os.environ.get(TOKEN_VARIABLE)):
        return None
    found = [_holder(words, Path(named)) for words in _lines(Path(named))]
    if len(found) != 1:
        raise InputFileError(
            f"holds {len(found)} tokens", f"{named} (${TOKEN_VARIABLE})", "give a file with the one token that is yours"
        )
    return found[0][1]


def checked_token(token: str, where: str) -> str:
    """A token that can be sent, and not be guessed.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if len(token) < MIN_TOKEN_LETTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"a token of {len(token)} letters is none: it has at least {MIN_TOKEN_LETTERS}, of ASCII, and no space",
            where,
            "take one as `isd coordinators serve` makes it where the file is not there",
        )
    return token


def _make(file: Path) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n")
    except OSError as error:
        what = f"cannot be made ({error.strerror})"
        raise InputFileError(what, str(file), "name a file in a folder of yours") from error


def _lines(file: Path) -> list[Sequence[str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"cannot be read ({error})", str(file), f"give a text file; {_FORM}") from error
    return [words for line in text.splitlines() if (words := line.split()) and not line.startswith("#")]


def _holder(words: Sequence[str], file: Path) -> tuple[str, str]:
    if len(words) > 2:
        raise InputFileError(f"a line has {len(words)} words", str(file), _FORM)
    name, token = words if len(words) == 2 else ("", words[0])
    return name, checked_token(token, str(file))
