"""Pages of files in the repository: the documents link to them, and the site is not the repository.

In a clone `[nginx.conf](../deploy/nginx.conf)` is the file. On the site it is a page, `files/deploy/nginx.conf.md`,
that shows it; a folder is a page that lists what is in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = "files"
"""Where the pages are on the site."""
LINK = re.compile(r"(?<=\]\()(\.\.?/[^)\s#]+)(?=[)#])")
"""Where a relative link leads that goes up."""
LANGUAGES = {
    ".yml": "yaml", ".yaml": "yaml", ".json": "json", ".py": "python", ".sh": "bash", ".conf": "nginx",
    ".mjs": "javascript", ".service": "ini", ".target": "ini", ".toml": "toml", ".env": "bash",
}  # fmt: skip
"""What a file is highlighted as, by the end of its name."""


def leading_out(markdown: str, page: str) -> list[str]:
    """Return the paths in the repository that a page links to outside of `docs/`; `page` is its path in there."""
    return [path for target in LINK.findall(markdown) if (path := _path(target, page)) is not None]


def relink(markdown: str, page: str) -> str:
    """Return a page's text with its links into the repository leading to the pages of those files."""

    def there(found: re.Match[str]) -> str:
        path = _path(found[1], page)
        return found[1] if path is None else posixpath.relpath(_page(path), posixpath.dirname(page) or ".")

    return LINK.sub(there, markdown)


def pages(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the text of each page by its path on the site. Folders bring their files.

    Raises `FileNotFoundError` for a path that is not in the repository.
    """
    made: dict[str, str] = {}
    for path in paths:
        made |= _of_folder(root, path) if (root / path).is_dir() else {_page(path): _shown(root, path)}
    return made


def _path(target: str, page: str) -> str | None:
    """Return where a link leads in the repository; None if it stays in `docs/`."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path.startswith(("docs/", "..")) else path


def _page(path: str) -> str:
    folder, name = posixpath.split(path)
    return posixpath.join(FOLDER, folder, f"{name.lstrip('.')}.md")  # MkDocs takes a dot for a file to leave out


def _of_folder(root: Path, path: str) -> dict[str, str]:
    inside = sorted(file.name for file in (root / path).iterdir() if file.is_file() and not file.name.startswith("."))
    listed = "\n".join(f"- [{name}]({posixpath.basename(path)}/{name}.md)" for name in inside)
    here = {_page(path): f"# {path}\n\n{listed}\n"}
    return here | {_page(f"{path}/{name}"): _shown(root, f"{path}/{name}") for name in inside}


def _shown(root: Path, path: str) -> str:
    text = (root / path).read_text(encoding="utf-8")
    fence = "`" * max(4, *(len(run) + 1 for run in re.findall("`+", text)), 4)
    return f"# {path}\n\n{fence}{LANGUAGES.get(Path(path).suffix, 'text')}\n{text.rstrip()}\n{fence}\n"
