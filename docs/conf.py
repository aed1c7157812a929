"""The site: `make site` builds it into build/site, with warnings as errors and without a network.

Pages are the Markdown files of docs/, as they are read in the repository, the documents of the root
(their names here are in DOCUMENTS), the lessons of docs/learn, run while the site is built, the
gallery, whose pictures are drawn then, and the API in the hand-written order of docs/api.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_extensions"))

import fcnn_site  # noqa: E402

import fcnn  # noqa: E402

project = "fcnn"
author = "the fcnn developers"
copyright = f"2026, {author}"
version = release = fcnn.__version__
language = "en"

extensions = [
    "fcnn_live",
    "fcnn_site",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_*",
    "inventories",
    "gallery_source",
    "gallery/*.ipynb",
    "**sg_execution_times.rst",
]
nitpicky = False
default_role = "py:obj"  # `name` of a docstring is a link where the name is documented

# --- Pages ----------------------------------------------------------------------------------------

# Documents that stand outside docs/, and the pages that they are here. A document of `None` stands
# for a folder that a page shows.
fcnn_site_documents = {
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
    "CODE_OF_CONDUCT.md": "project/conduct",
    "benchmarks/README.md": "project/benchmarks",
    "src/fcnn/data/README.md": "project/digits",
}
fcnn_site_folders = {
    "examples/c": "examples",
    "examples/cython": "examples",
    "examples/python": "examples",
    "docs/learn": "learn/index",
}

source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
# In the order of the lists, the first that an output has.
nb_mime_priority_overrides = [("html", "image/png", 0)]
suppress_warnings = ["mystnb.unknown_mime_type"]

# --- API ------------------------------------------------------------------------------------------

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    "array-like": ":term:`array_like <numpy:array_like>`",
    "path-like": ":term:`python:path-like object`",
}
numpydoc_xref_ignore = {
    "optional", "default", "shape", "of", "or", "a", "the", "one", "sequence", "type", "length",
    "sparse", "matrix", "SciPy's", "fcnn.schedules", "them", "rows", "iterable", "batches", "name",
    "mapping", "to", "for", "each", "names", "texts", "two", "several", "s", "n_0", "n_L", "q",
}  # fmt: skip

# Inventories that are made of docs/inventories: the build asks nobody.
intersphinx_mapping = {
    name: (home, str(fcnn_site.inventory(HERE / "inventories" / f"{name}.txt")))
    for name, home in (
        ("python", "https://docs.python.org/3"),
        ("numpy", "https://numpy.org/doc/stable"),
        ("matplotlib", "https://matplotlib.org/stable"),
        ("sklearn", "https://scikit-learn.org/stable"),
    )
}

# --- The gallery ----------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "gallery_source",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "image_scrapers": ("fcnn_site.figures",),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 60,
    "write_computation_times": False,
    "show_signature": False,
    "reference_url": {"fcnn": None},
    "copyfile_regex": "",
}

# --- HTML -----------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"fcnn {release}"
html_static_path = ["_static"]
# Sphinx adds this script to the pages that have formulas; fcnn_site writes it.
mathjax_path = "math.js"
myst_update_mathjax = False
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#7cc0ff", "color-brand-content": "#7cc0ff"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
