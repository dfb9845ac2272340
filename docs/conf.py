"""Sphinx configuration.

Build with ``python -m sphinx -W --keep-going -b html docs docs/_build/html``; add
``-D plot_gallery=0`` to leave the examples of the gallery unexecuted.
"""

import os
import sys
from pathlib import Path

import mmcontrast

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "mmcontrast"
author = "The mmcontrast developers"
copyright = author
version = release = mmcontrast.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "changes",
    "mathml",
    "public_members",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "generated/changes.rst"]
default_role = "py:obj"
# the sphinx-gallery configuration names a class of this folder, which a cache cannot hold
suppress_warnings = ["config.cache"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc has the types, with shapes
autodoc_member_order = "groupwise"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the class template lists them
html_math_renderer = "mathml"

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("mmcontrast",),
    "within_subsection_order": "gallery_order.QuickstartFirst",
    # an example of real files is shown without being run where there are none
    "filename_pattern": r"plot_" if "MMCONTRAST_DATA" in os.environ else r"plot_(?!real)",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "capture_repr": ("_repr_html_",),
    "min_reported_time": 1e9,  # timings of the building machine mean nothing to a reader
}

html_theme = "pydata_sphinx_theme"
html_title = "mmcontrast"
html_static_path = ["_static"]
html_css_files = ["mmcontrast.css"]
html_show_sourcelink = False
html_show_copyright = False
html_sidebars = {"index": [], "install": [], "whats_new": []}
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_prev_next": False,
    "footer_start": [],
    "footer_center": [],
    "footer_end": [],
}
