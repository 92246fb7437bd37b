"""How the pages become a site: `make site` runs Sphinx on them, without a network.

The source directory is the repository, so that a page may link to any other page of it; a link to a
file that is no page becomes a download, and a link to a folder is shown as its name. A link to
something that does not exist is a warning, and warnings are errors.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "arvo-plpg"
author = "The arvo-plpg founders"
project_copyright = "the arvo-plpg founders, Apache-2.0"
release = installed("arvo-plpg")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "*.md",
    "sql/README.md",
    "bench/*.md",
    "chaos/*.md",
    "model/*.md",
    "conformance/README.md",
    "examples/README.md",
    "examples/typescript/README.md",
]
exclude_patterns = ["**/node_modules"]
suppress_warnings = ["myst.header", "ref.python"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "arvo-plpg"
html_static_path: list[str] = []
html_copy_source = False


def unlink_folders(app: Sphinx, doctree: nodes.document) -> None:
    """Show a link to a folder as its text, if the folder is there."""
    beside = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(doctree.findall(pending_xref)):
        target = (beside / str(link["reftarget"])).resolve()
        if link["reftype"] == "myst" and target.is_relative_to(ROOT) and target.is_dir():
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Tell Sphinx of the links to folders."""
    app.connect("doctree-read", unlink_folders)
