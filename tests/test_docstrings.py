"""Every example in the docstrings and in the guide runs and prints what it says."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import mmcontrast

DOCS = Path(__file__).parents[1] / "docs"
# messages of exceptions are long: they may be wrapped in the text
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

SUBMODULES = pkgutil.walk_packages(mmcontrast.__path__, "mmcontrast.")
MODULES = ["mmcontrast", *sorted(module.name for module in SUBMODULES)]
PAGES = sorted(
    page
    for page in [*DOCS.glob("*.rst"), *DOCS.glob("guide/*.rst")]
    if ">>> " in page.read_text(encoding="utf-8")
)
# what a page shows on files that are not part of the package
REAL_FILES = re.compile(r"^\.\. real files$.*?^\.\. end of real files$", re.DOTALL | re.MULTILINE)
PAGES_WITH_FILES = [page for page in PAGES if REAL_FILES.search(page.read_text(encoding="utf-8"))]


def run(text, page):
    test = doctest.DocTestParser().get_doctest(
        text, {"__name__": "__main__"}, page.stem, str(page), 0
    )
    return doctest.DocTestRunner(optionflags=FLAGS).run(test)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_of_module(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page):
    text = page.read_text(encoding="utf-8")
    # lines stay, so that a failure names the right one
    result = run(REAL_FILES.sub(lambda found: "\n" * found[0].count("\n"), text), page)
    assert result.attempted
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES_WITH_FILES, ids=lambda page: page.stem)
def test_real_files_of_page(page, data_home):
    text = page.read_text(encoding="utf-8")
    result = run("\n".join(REAL_FILES.findall(text)), page)
    assert result.attempted
    assert result.failed == 0


def test_the_guide_is_tested():
    assert {"index", "modalities", "comm"} <= {page.stem for page in PAGES}
    assert "own_recordings" in {page.stem for page in PAGES_WITH_FILES}
