"""The page and the plot of what the benchmarks kept: `python -m bench.report`, after them.

Reads `build/bench/*.json` and writes `docs/benchmarks.md` and `docs/benchmarks.svg`. A benchmark that was not run
is not on the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.figures import FOLDER, Figure

DOCS = Path("docs")
ENGINE = "engine"
ORDER = ("job", "first_text", "diarization", "alignment", "length", "polls", "upload", "queue", "page", "gpu")
INTRODUCTION = """# Benchmarks

Each figure and its peer's were measured one after the other in one run, on the same machine, models and sound.
`make bench DATA=folder` measures them again and writes this page; times on other machines differ, ratios less so.
"""


@dataclass(frozen=True)
class Run:
    """One benchmark's figures, and the machine that made them."""

    name: str
    machine: str
    figures: tuple[Figure, ...]


def runs(folder: Path) -> list[Run]:
    """Return the benchmarks that were kept in `folder`."""
    found: list[Run] = []
    for name in ORDER:
        path = folder / f"{name}.json"
        if path.is_file():
            kept = json.loads(path.read_text())
            found.append(Run(name, kept["machine"], tuple(Figure(**figure) for figure in kept["figures"])))
    return found


def table(run: Run) -> str:
    """Return a benchmark as Markdown."""
    rows = [
        f"## {run.name.replace('_', ' ').capitalize()}", "", f"On {run.machine}: `python -m bench.{run.name}`.", "",
        "| what | ours | against | its figure | ratio | aim | seen |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for figure in run.figures:
        peer = "" if figure.peer is None else f"{figure.peer:.3g} {figure.unit}"
        ratio = "" if figure.ratio is None else f"**{figure.ratio:.1f}**"
        rows.append(
            f"| {figure.what} | {figure.ours:.3g} {figure.unit} | {figure.against} | {peer} | {ratio} | {figure.reach} "
            f"| {figure.note} |"
        )
    return "\n".join(rows) + "\n"


def accuracy(kept: dict[str, Any]) -> str:
    """Return what `bench.accuracy` found over all recordings, as Markdown."""
    systems: dict[str, dict[str, Any]] = kept["pooled"]
    names = [name for name in systems[ENGINE] if name != "starts"]
    rows = ["## Accuracy", "", f"On {kept['machine']}: `python -m bench.accuracy`.", "", f"| | {' | '.join(systems)} |"]
    rows.append("|---" * (len(systems) + 1) + "|")
    for name in names:
        cells = [_rate(figures[name]) for figures in systems.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    if given := kept.get("given_words"):
        rows += [
            "",
            "| starts of the reference's own words | within 0.1 s | within 0.2 s | median |",
            "|---|---|---|---|",
        ]
        rows += [
            f"| {way} | {one['within_0.1']:.1%} | {one['within_0.2']:.1%} | {one['median_seconds']:.3f} s |"
            for way, one in given.items()
        ]
    return "\n".join([*rows, "", kept["notes"]]) + "\n"


def _rate(figure: dict[str, float]) -> str:
    return f"{figure['rate']:.1%} ({figure['errors']:g} of {figure['of']:g})"


def plot(figures: Sequence[Figure], path: Path) -> None:
    """Draw how many times faster than its peer each figure is."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures make the same file
    from matplotlib import pyplot

    compared = [(figure, ratio) for figure in figures if (ratio := figure.ratio) is not None][::-1]
    drawing, axes = pyplot.subplots(figsize=(9, 0.6 + 0.4 * len(compared)))
    bars = axes.barh([f"{figure.what} / {figure.against}" for figure, _ in compared], [ratio for _, ratio in compared])
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast")
    axes.axvline(1.0, color="black", linewidth=0.8)
    drawing.tight_layout()
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)


def main() -> None:
    """Write the page."""
    found = runs(FOLDER)
    if not found:
        raise SystemExit(f"There are no figures in {FOLDER}: run a benchmark first.")
    plot([figure for run in found for figure in run.figures], DOCS / "benchmarks.svg")
    page = [INTRODUCTION, "![How many times faster than its peer each is](benchmarks.svg)\n", *map(table, found)]
    if (kept := FOLDER / "accuracy.json").is_file():
        page.append(accuracy(json.loads(kept.read_text())))
    (DOCS / "benchmarks.md").write_text("\n".join(page))


if __name__ == "__main__":
    main()
