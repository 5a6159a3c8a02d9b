"""Looks through the built site: `python -m docsite.check build/site`.

Every link, anchor and picture of the site's own is there, and no page asks anything of another host. Links that a
reader may follow to elsewhere are not fetched.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ASKED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
         "embed": "src", "object": "data",
         "link": "href", "use": "href", "image": "href", "track": "src", "input": "src"}  # fmt: skip
"""Attributes whose address a browser asks without being told to."""
TOLD = ("canonical", "next", "prev", "alternate", "license")
"""Relations of a `link` that no browser asks."""
IN_STYLE = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
FOREIGN = ("http", "https", "ws", "wss", "ftp", "")


@dataclass
class Seen(HTMLParser):
    """What a page holds: its anchors, where a reader may go, and what a browser asks for."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    policy: str | None = None
    _styled: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name.rpartition(":")[2] if name.startswith("xlink:") else name: value or "" for name, value in attrs}
        self._styled = tag == "style"
        self.anchors |= {given[name] for name in ("id", "name") if name in given and (name == "id" or tag == "a")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given.get("content")
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.asked.append(given.get("content", "").partition("=")[2])
        attribute = ASKED.get(tag)
        if attribute in given and not (tag == "link" and set(given.get("rel", "").split()) <= set(TOLD)):
            self.asked.append(given[attribute])
        self.asked += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.asked += _in_style(given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._styled = False

    def handle_data(self, data: str) -> None:
        if self._styled:
            self.asked += _in_style(data)


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a line each."""
    pages = {path.relative_to(site).as_posix(): seen(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    if not pages:
        yield f"{site} holds no pages"
    for name, page in pages.items():
        if page.policy is None or "default-src 'none'" not in page.policy or "http" in page.policy:
            yield f"{name}: nothing keeps a browser from asking other hosts"
        for address in page.asked:
            yield from (f"{name}: {fault}" for fault in _asked(site, name, address))
        for address in page.links:
            yield from (f"{name}: {fault}" for fault in _linked(site, pages, name, address))
    for path in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        name, text = path.relative_to(site).as_posix(), path.read_text(encoding="utf-8")
        addresses = _in_style(text) + (seen(text).asked if path.suffix == ".svg" else [])
        for address in addresses:
            yield from (f"{name}: {fault}" for fault in _asked(site, name, address))


def seen(text: str) -> Seen:
    """Return what a page holds."""
    page = Seen()
    page.feed(text)
    return page


def _in_style(text: str) -> list[str]:
    return [first or second for first, second in IN_STYLE.findall(text)]


def _asked(site: Path, page: str, address: str) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.netloc or parts.scheme in FOREIGN[:-1]:
        yield f"asks {parts.netloc or address} for {address}"
    elif parts.scheme == "" and parts.path and not _file(site, page, parts.path).is_file():
        yield f"{address} is not there"


def _linked(site: Path, pages: dict[str, Seen], page: str, address: str) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return
    target = _file(site, page, parts.path) if parts.path else site / page
    if not target.is_file():
        yield f"leads to {address}, which is not there"
    elif parts.fragment and target.suffix == ".html":
        there = pages[target.relative_to(site).as_posix()]
        if unquote(parts.fragment) not in there.anchors:
            yield f"leads to {address}, and there is no such place on that page"


def _file(site: Path, page: str, path: str) -> Path:
    """Return the file that a path on a page means; a folder is its index. One from the root is the site's own."""
    inside = (
        unquote(path).lstrip("/") if path.startswith("/") else posixpath.join(posixpath.dirname(page), unquote(path))
    )
    found = site / posixpath.normpath(inside)
    return found / "index.html" if found.is_dir() else found


def main(folder: str) -> int:
    """Print what is wrong with the site in a folder; return how the program ends."""
    found = list(faults(Path(folder)))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
