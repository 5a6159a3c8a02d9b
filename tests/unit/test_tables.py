"""Plain text, TSV and RTTM, read back by others' parsers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import given
from pyannote.database.util import load_rttm

from tests.transcripts import many_times, transcripts
from whisperx_api.formats.cues import speaker_names
from whisperx_api.formats.tables import rttm, text, tsv
from whisperx_api.transcript import Segment, Speaker, Transcript

TWO = Transcript(
    "en",
    9.0,
    (Segment(0.5, 1.25, " Hello\tthere. ", (), "SPEAKER_00"), Segment(2.0, 3.0, 'He said "no".', (), None),
     Segment(4.0, 4.0, "", (), "SPEAKER_01")),
    (Speaker("SPEAKER_00", 0.75, "Katie  Stone"), Speaker("SPEAKER_01", 0.0)),
)  # fmt: skip


def read_tsv(written: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written), dialect="excel-tab", strict=True))


def test_text_has_a_line_a_segment_with_its_speaker() -> None:
    assert text(TWO) == '[Katie Stone]: Hello there.\nHe said "no".\n'


def test_tsv_has_milliseconds_text_and_speaker() -> None:
    assert tsv(TWO) == (
        "start\tend\ttext\tspeaker\n500\t1250\tHello there.\tKatie Stone\n"
        '2000\t3000\t"He said ""no""."\t\n4000\t4000\t\tSPEAKER_01\n'
    )


def test_rttm_has_a_turn_a_segment_of_somebody() -> None:
    assert rttm(TWO, "my call.of monday.mp3") == (
        "SPEAKER my_call.of_monday 1 0.500 0.750 <NA> <NA> Katie_Stone <NA> <NA>\n"
    )
    assert rttm(TWO, "").startswith("SPEAKER recording 1 ")


def test_rttm_has_each_speaker_on_its_channel() -> None:
    parts = tuple(Segment(float(at), at + 0.5, "Hm.", (), f"SPEAKER_0{at}", channel=at) for at in (1, 0))
    lines = rttm(Transcript("en", 9.0, parts), "call.wav").splitlines()
    assert [(line.split()[2], line.split()[7]) for line in lines] == [("2", "SPEAKER_01"), ("1", "SPEAKER_00")]


@many_times
@given(transcripts())
def test_csv_reads_every_segment_back(written: Transcript) -> None:
    names = speaker_names(written)
    assert read_tsv(tsv(written)) == [
        {
            "start": str(round(segment.start * 1000)),
            "end": str(round(segment.end * 1000)),
            "text": segment.text,
            "speaker": names[segment.speaker] if segment.speaker else "",
        }
        for segment in written.segments
    ]


@many_times
@given(transcripts())
def test_pyannote_reads_every_turn_back(tmp_path: Path, written: Transcript) -> None:
    file = tmp_path / "turns.rttm"
    file.write_text(rttm(written, 'the "call".wav'), encoding="utf-8")
    names = speaker_names(written)
    turns = [
        (segment.start, segment.end, names[segment.speaker].replace('"', "'").replace(" ", "_"))
        for segment in written.segments
        if segment.speaker and segment.end > segment.start
    ]
    found = load_rttm(file) if turns else {}
    assert list(found) == (["the_'call'"] if turns else [])
    read = [(turn, label) for turn, _, label in found["the_'call'"].itertracks(yield_label=True)] if turns else []
    assert sorted((round(turn.start, 3), round(turn.end, 3), label) for turn, label in read) == sorted(turns)
