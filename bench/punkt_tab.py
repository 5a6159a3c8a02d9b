"""NLTK's sentence model as files, for `whisperx.align`, which would fetch them from the network."""

from __future__ import annotations

from pathlib import Path

import punkt


def write_punkt_tab(folder: Path) -> None:
    """Write the files of the English model into `folder`, as NLTK looks for them in its data path."""
    target = folder / "tokenizers" / "punkt_tab" / "english"
    target.mkdir(parents=True, exist_ok=True)
    model = punkt.load_model("english")
    (target / "collocations.tab").write_text("\n".join("\t".join(pair) for pair in model.collocations))
    (target / "sent_starters.txt").write_text("\n".join(model.sent_starters))
    (target / "abbrev_types.txt").write_text("\n".join(model.abbrev_types))
    (target / "ortho_context.tab").write_text(
        "\n".join(f"{word}\t{flags}" for word, flags in model.ortho_context.items())
    )
