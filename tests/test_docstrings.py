"""Every example in the docstrings and in the guide runs and prints what it says."""

import doctest
import importlib
import pkgutil
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


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_of_module(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS, encoding="utf-8")
    assert result.attempted
    assert result.failed == 0


def test_the_guide_is_tested():
    assert {"index", "modalities", "comm"} <= {page.stem for page in PAGES}
