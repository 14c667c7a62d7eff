"""The documentation's site: `python -m sphinx -W -b html docs build/site` makes it, without a network.

Sphinx, and not MkDocs with Material: at the end of November 2026 the newest releases on PyPI are Sphinx 9.2.0
(21 October 2026), MyST-Parser 5.2.0 (10 November 2026) and Furo 2025.12.19; MkDocs 1.6.1 is of 30 August 2024, with
nothing but development versions of an incompatible 2.0 since, and the maintenance of Material for MkDocs was announced
to end on 5 November 2026 (its issue 8523). MyST-NB runs the notebook.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

from chinspect import __version__  # noqa: E402

project = "chinspect"
author = "chinspect contributors"
project_copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "rooms", "effects", "formulas"]
exclude_patterns = ["_extensions"]
default_role = "code"  # docstrings write names between single backticks

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_title = f"chinspect {release}"
html_math_renderer = "mathml"  # no script and no font from elsewhere
html_copy_source = False
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath", "fieldlist"]
myst_heading_anchors = 4
nb_execution_mode = "force"  # the notebook is run each time, and its outputs are never stored
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_use_ivar = True  # attributes of a class are described once, in its own text
napoleon_use_rtype = False
napoleon_attr_annotations = False  # the signature has the types of fields
python_use_unqualified_type_names = True
suppress_warnings = ["ref.python"]  # rooms have types of the same name, between which a signature does not tell
