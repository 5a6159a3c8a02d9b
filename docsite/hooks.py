"""What MkDocs calls while it builds: puts the generated parts in, and has a page for each file that others link to.

A page says where a generated part goes: `<!-- generated: settings -->`. Links that lead out of `docs/` into the
repository lead on the site to a page that shows that file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docsite import api_page, languages_page, repository, settings_page

ROOT = Path(__file__).parent.parent

PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_page.render,
    "api": api_page.render,
    "languages": languages_page.render,
}
"""What makes each generated part."""
MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the repository that a document links to."""
    docs = Path(config.docs_dir)
    linked = {target for file in files.documentation_pages() for target in _leading_out(file, docs)}
    for path, text in repository.pages(ROOT, linked).items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the generated parts in, and turn links into the repository to the pages of its files."""
    if page.file.generated_by is not None:
        return markdown
    return repository.relink(MARKER.sub(_part, markdown), page.file.src_uri)


def _part(found: re.Match[str]) -> str:
    if (make := PARTS.get(found[1])) is None:
        raise PluginError(f"Nothing makes the part '{found[1]}': there are {', '.join(PARTS)}.")
    return make()


def _leading_out(file: File, docs: Path) -> list[str]:
    path = docs / file.src_uri
    return repository.leading_out(path.read_text(encoding="utf-8"), file.src_uri) if path.is_file() else []
