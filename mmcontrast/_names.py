"""Messages about names that do not exist."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: Any, names: Iterable[str]) -> str:
    """A sentence that suggests the closest name, after a space; empty if none is close."""
    close = get_close_matches(str(name), list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_entries(entries: Iterable[str], names: Iterable[str], what: str) -> None:
    """Refuse entries for modalities that do not exist.

    Parameters
    ----------
    entries : iterable of str
        Modalities that something speaks of.
    names : iterable of str
        Modalities that exist.
    what : str
        What speaks of them, for the message.

    Raises
    ------
    ValueError
        If an entry is not among the names; it suggests the closest one.
    """
    names = list(names)
    for entry in entries:
        if entry not in names:
            raise ValueError(
                f"{what} has an entry for modality {entry!r}, but the modalities are "
                f"{', '.join(map(repr, names))}.{did_you_mean(entry, names)}"
            )
