"""The guide's page for users' own files."""

import re
from pathlib import Path

import pytest

import mmcontrast

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "own_recordings.rst"
MESSAGES = re.findall(r"^   \* - \*(.+)\*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def source():
    """Text of the package, with string literals on several lines joined."""
    files = sorted(Path(mmcontrast.__file__).parent.rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_there_are_messages():
    assert len(MESSAGES) >= 15


@pytest.mark.parametrize("message", MESSAGES)
def test_message_that_is_explained_exists(message, source):
    fixed = [part.strip(" ,") for part in message.split("...")]
    assert all(part in source for part in fixed), fixed
