"""What mkdocs asks while it makes the site: the pages that are no files of docs/, and links out of docs/.

README.md is the landing page and SECURITY.md a page, so that no text is there twice. What else a page links to outside
docs/, a preset or a module, is shown as a page below source/, so that the site needs no server for it.
"""

import re
from functools import partial
from pathlib import Path
from posixpath import dirname, join, normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
PAGES = {"README.md": "index.md", "SECURITY.md": "security.md"}
"""File of the repository → its page."""
_TARGET = re.compile(r"(?<=\]\()[^)\s:#]+(?=[)#])")
_ROLE = re.compile(r":(?:class|func|meth|mod|attr):<code>~?")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name anchors as GitHub does, so that a link to a section works there and here."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    texts = {f"{DOCS}{file.src_uri}": file.content_string for file in files.documentation_pages()}
    texts |= {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=texts[name]))
    linked = {path for name, text in texts.items() for path in map(partial(_path, name), _TARGET.findall(text))}
    for path in sorted(linked):
        if _place(path).startswith("source/"):
            files.append(File.generated(config, _place(path), content=_shown(path)))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page with its links as they are in the site."""
    uri = page.file.src_uri
    name = {page: name for name, page in PAGES.items()}.get(uri, f"{DOCS}{uri}")
    if uri.startswith("source/"):
        return markdown
    return _TARGET.sub(lambda target: _place(_path(name, target[0]), otherwise=target[0]), markdown)


def on_page_content(html: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page without the roles of Sphinx that stand in docstrings, ``:class:`` and the like."""
    return _ROLE.sub("<code>", html)


def _path(name: str, target: str) -> str:
    """Return what a link in a file of the repository leads to, from the repository's root."""
    return normpath(join(dirname(name), target))


def _place(path: str, otherwise: str = "") -> str:
    """Return where a file of the repository is in the site; what is no file is left to mkdocs to complain of."""
    if not (ROOT / path).is_file():
        return otherwise
    return PAGES.get(path) or (path.removeprefix(DOCS) if path.startswith(DOCS) else f"source/{path}.md")


def _shown(path: str) -> str:
    """Return a page that shows a file."""
    text = (ROOT / path).read_text(encoding="utf-8").rstrip()
    kind = Path(path).suffix.removeprefix(".")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n````{kind}\n{text}\n````\n"
