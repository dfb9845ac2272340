"""Formulas as MathML, which browsers render by themselves: no script, no network."""

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer "mathml"."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def visit_math(self: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(_to_mathml(node))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """Write a displayed formula."""
    formula = _to_mathml(node).replace("<math ", '<math display="block" ', 1)
    self.body.append(f'<div class="math">{formula}</div>\n')
    raise nodes.SkipNode


def _to_mathml(node: nodes.math | nodes.math_block) -> str:
    # a prime is a superscript in TeX, next to a subscript; the converter takes it for a letter
    tex = re.sub("'+", lambda primes: "^{" + r"\prime" * len(primes[0]) + "}", node.astext())
    try:
        return tex2mathml(tex)
    except MathError as error:
        logger.warning("formula not understood: %s", error, location=node)
        return f"<code>{escape(tex)}</code>"
