"""Public names are in the API reference, and their docstrings say what their signatures say."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import mmcontrast

numpydoc = pytest.importorskip("numpydoc.docscrape")

API_PAGES = sorted((Path(__file__).parents[1] / "docs" / "api").glob("*.rst"))


def public_modules():
    subpackages = [
        module.name
        for module in pkgutil.iter_modules(mmcontrast.__path__)
        if not module.name.startswith("_")
    ]
    return [mmcontrast, *(importlib.import_module(f"mmcontrast.{name}") for name in subpackages)]


def public_objects():
    """Each public object once, with all paths by which it can be imported."""
    paths = {}
    for module in public_modules():
        for name in sorted(set(module.__all__) | set(getattr(module, "__dir__", list)())):
            value = getattr(module, name)
            if not name.startswith("_") and not inspect.ismodule(value):
                paths.setdefault(id(value), (value, []))[1].append(f"{module.__name__}.{name}")
    return list(paths.values())


def documented_names():
    """Full names in the autosummary tables and data directives of the API pages."""
    return [name for page in API_PAGES for name in names_on(page.read_text(encoding="utf-8"))]


def names_on(page):
    names, module, in_table = [], "", False
    for line in page.splitlines():
        directive = re.match(r"\s*\.\. ([\w:]+)::\s*(\S*)", line)
        if directive:
            kind, argument = directive.groups()
            in_table = kind == "autosummary"
            if kind == "currentmodule":
                module = argument
            elif kind == "data":
                names.append(f"{module}.{argument}")
        elif in_table and re.fullmatch(r"   [\w.]+", line):
            names.append(f"{module}.{line.strip()}")
        elif line and not line.startswith(" "):
            in_table = False
    return names


OBJECTS = public_objects()
CODE = [
    pytest.param(value, id=min(paths, key=len))
    for value, paths in OBJECTS
    if inspect.isclass(value) or inspect.isfunction(value)
]


def parameters_of_signature(function):
    """Names as numpydoc writes them, without self."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    signature = inspect.signature(function)
    return [stars.get(p.kind, "") + name for name, p in signature.parameters.items()]


def parameters_of_docstring(doc):
    return [name.strip() for entry in doc["Parameters"] for name in entry.name.split(",")]


def own_methods(cls):
    """Public methods that this package defines, inherited ones included."""
    for name, member in inspect.getmembers(cls):
        function = getattr(member, "__func__", member)
        ours = (getattr(function, "__module__", None) or "").startswith("mmcontrast")
        if ours and inspect.isfunction(function) and not name.startswith("_"):
            yield name, member


def test_modules_list_their_public_names():
    assert {"mmcontrast", "mmcontrast.nn", "mmcontrast.losses"} <= {
        module.__name__ for module in public_modules()
    }
    for module in public_modules():
        assert module.__all__, f"{module.__name__} has no __all__"
        assert module.__doc__, f"{module.__name__} has no docstring"


@pytest.mark.parametrize(
    "paths", [paths for _, paths in OBJECTS], ids=lambda paths: min(paths, key=len)
)
def test_public_name_has_a_docs_entry(paths):
    assert set(paths) & set(documented_names()), (
        f"{' = '.join(paths)} is public but not in docs/api: add it to the autosummary table of "
        "its area, or take it out of __all__."
    )


def test_api_pages_have_no_name_that_is_not_public():
    public = {path for _, paths in OBJECTS for path in paths}
    names = documented_names()
    assert set(names) <= public
    assert len(names) == len(set(names))


@pytest.mark.parametrize("value", CODE)
def test_docstring_fits_the_signature(value):
    doc = numpydoc.FunctionDoc(value) if inspect.isfunction(value) else numpydoc.ClassDoc(value)
    assert doc["Summary"], "no summary"
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert parameters_of_docstring(doc) == parameters_of_signature(value)
    assert doc["Examples"], "no Examples section"
    if inspect.isfunction(value):
        assert doc["Returns"], "no Returns section"


@pytest.mark.parametrize("cls", [p for p in CODE if inspect.isclass(p.values[0])])
def test_methods_are_documented(cls):
    for name, method in own_methods(cls):
        assert inspect.getdoc(method), f"{cls.__name__}.{name} has no docstring"
        documented = parameters_of_docstring(numpydoc.FunctionDoc(method))
        if not documented:  # one line is enough where the base class or the name says the rest
            continue
        expected = parameters_of_signature(method)
        expected = expected if inspect.ismethod(method) else expected[1:]
        assert documented == expected, f"{cls.__name__}.{name}"
