"""What was really said: recordings with human truth, and their files read.

Formats: RTTM (turns) and STM (utterances with their words) of NIST's evaluations; `.words.ctm` has the speaker where a
CTM has the channel.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyannote.core import Annotation, Segment

from whisperx_api.demo import sample

JFK = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
)  # fmt: skip
GERMAN = {
    "de_thorsten_sample01-gt.wav": "Eure Schoko-Bonbons sind sagenhaft lecker!",
    "de_thorsten_sample03-gt.wav": "Europa und Asien zusammengenommen wird auch als Eurasien bezeichnet.",
}
STEREO = {
    "left": "He began a confused complaint against the wizard who had vanished behind the curtain on the left.",
    "right": "The horizon seems extremely distant.",
}

WORDLESS = frozenset({"trn01"})
"""Excerpts with hardly a word: two of murmur in half a minute would count as much as a hundred of speech."""


@dataclass(frozen=True)
class Utterance:
    """What one speaker says in one go, or one word of it, as the file has it. Times are in seconds."""

    speaker: str
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Reference:
    """A recording with what is known of it.

    `utterances` are in order of their start; None where words are not scored. `turns` are None where nobody marked
    them. `timed` says that each utterance is one word with times that a human saw.
    """

    recording: Path
    utterances: tuple[Utterance, ...] | None
    turns: Annotation | None = None
    timed: bool = False

    @property
    def name(self) -> str:
        """The recording's name in a table."""
        return self.recording.stem


def normal(text: str) -> str:
    """Small letters and digits; hyphens and underscores part words, apostrophes and accents go."""
    letters = unicodedata.normalize("NFD", text.lower()).replace("'", "").replace("’", "")
    letters = "".join(character for character in letters if not unicodedata.combining(character))
    return " ".join(re.sub(r"[\W_]+", " ", letters).split())


def stm(path: Path) -> tuple[Utterance, ...]:
    """Return the utterances of an STM file."""
    found: list[Utterance] = []
    for line in path.read_text().splitlines():
        _, _, speaker, start, end, words = line.split(maxsplit=5)
        found.append(Utterance(speaker, float(start), float(end), words))
    return tuple(sorted(found, key=lambda utterance: utterance.start))


def words_ctm(path: Path) -> tuple[Utterance, ...]:
    """Return the words of a `.words.ctm` file."""
    found: list[Utterance] = []
    for line in path.read_text().splitlines():
        _, speaker, start, duration, word = line.split()
        found.append(Utterance(speaker, float(start), float(start) + float(duration), word))
    return tuple(sorted(found, key=lambda word: (word.start, word.end)))


def rttm(path: Path) -> Annotation:
    """Return the turns of an RTTM file."""
    turns = Annotation()
    for index, line in enumerate(path.read_text().splitlines()):
        fields = line.split()
        turns[Segment(float(fields[3]), float(fields[3]) + float(fields[4])), index] = fields[7]
    return turns


def references(folder: Path | None) -> Iterator[Reference]:
    """Yield pyannote's sample, and what of the recordings that are known here `folder` holds."""
    audio = sample()
    yield Reference(audio, stm(audio.with_suffix(".stm")), rttm(audio.with_suffix(".rttm")))
    if folder is None:
        return
    for audio in sorted(folder.glob("katiesteve/katiesteve.flac")):
        yield Reference(audio, stm(audio.with_suffix(".stm")), rttm(audio.with_suffix(".rttm")))
    for audio in sorted(folder.glob("ami/*.flac")):
        words = None if audio.stem in WORDLESS else words_ctm(audio.with_suffix(".words.ctm"))
        yield Reference(audio, words, rttm(audio.with_suffix(".rttm")), timed=words is not None)
    yield from _read_aloud(folder)


def _read_aloud(folder: Path) -> Iterator[Reference]:
    """Yield recordings of which the text is known, and that one speaker reads it, or one on each channel."""
    said: dict[Path, str] = {}
    for table in folder.glob("english/TRANSCRIPTS.tsv"):
        lines = (line.split("\t") for line in table.read_text().splitlines())
        said |= {table.with_name(name): text for name, text in lines}
    said |= {path: path.with_suffix(".txt").read_text() for path in folder.glob("languages/fr_*.m4a")}
    said |= {path: GERMAN[path.name] for path in folder.glob("languages/de_*.wav") if path.name in GERMAN}
    said |= dict.fromkeys(folder.glob("misc/jfk.mp3"), JFK)
    for path, text in sorted(said.items()):
        yield Reference(path, (_whole("reader", text),))
    for path in folder.glob("misc/stereo_diarization.wav"):
        yield Reference(path, tuple(_whole(channel, text) for channel, text in STEREO.items()))


def _whole(speaker: str, text: str) -> Utterance:
    """An utterance of which only the text is known."""
    return Utterance(speaker, 0.0, float("inf"), text)
