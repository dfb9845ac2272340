"""Document of each class what this package defines, not what it inherits from others."""

import re
from typing import Any

from sphinx.application import Sphinx

_GENERATED_BY_SKLEARN = re.compile(r"set_\w+_request|get_metadata_routing")


def setup(app: Sphinx) -> dict[str, Any]:
    """Filter the members that autodoc and autosummary see."""
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def skip_foreign(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Skip what torch, skorch or scikit-learn define; None leaves the choice to Sphinx."""
    if _GENERATED_BY_SKLEARN.fullmatch(name):
        return True
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    module = getattr(function, "__module__", None)
    return True if module is None or not module.startswith("mmcontrast") else None
