"""Packages that only displays and tables need."""

import importlib
from typing import Any


def import_optional(module: str, what: str, install: str) -> Any:
    """Import a package, or say what needs it and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{what} needs {package}; install it: pip install {install}.") from error


def pyplot(what: str) -> Any:
    """Import matplotlib.pyplot."""
    return import_optional("matplotlib.pyplot", what, "matplotlib")


def pandas(what: str) -> Any:
    """Import pandas."""
    return import_optional("pandas", what, "pandas")
