"""``CHANGES.md`` as reStructuredText: headings, lists, code and links are all that it uses."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_UNDERLINES = {2: "-", 3: "~"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Convert the file before the pages are read."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app: Sphinx, config: Any) -> None:
    """Write ``generated/changes.rst``, which the page "What's new" includes."""
    here = Path(app.srcdir)
    target = here / "generated" / "changes.rst"
    target.parent.mkdir(exist_ok=True)
    target.write_text(to_rst((here.parent / "CHANGES.md").read_text()))


def to_rst(markdown: str) -> str:
    """Convert the Markdown of a change log; its title is left to the page."""
    lines: list[str] = []
    for line in markdown.splitlines():
        heading = re.match(r"(#+)\s+(.*)", line)
        if heading is None:
            lines.append(_inline(line))
        elif len(heading[1]) > 1:
            title = _inline(heading[2])
            lines += ["", title, _UNDERLINES[len(heading[1])] * len(title), ""]
    return "\n".join(_blank_before_lists(lines)) + "\n"


def _inline(text: str) -> str:
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)


def _blank_before_lists(lines: list[str]) -> list[str]:
    """Markdown starts a list without a blank line, reStructuredText does not."""
    spaced: list[str] = []
    in_list = False
    for line in lines:
        starts = re.match(r"[-*] ", line) is not None
        if starts and not in_list:
            spaced.append("")
        in_list = starts or (in_list and line.startswith("  "))
        spaced.append(line)
    return spaced
