"""Whether it is the files of a model that keep it from being loaded, and not the device."""

from __future__ import annotations

from whisperx_api.pipeline.out_of_memory import is_out_of_memory

OF_THE_DEVICE = ("CUDA", "cuDNN", "cuBLAS", "driver")
"""What is named where a device fails."""


def of_the_files(error: Exception) -> bool:
    """Whether an error that came while a model was loaded is one of its files: cut short, or not what they were.

    The libraries have no error of their own for that: it may be a RuntimeError, what a parser of JSON raises, or a bare
    Exception.
    """
    return not is_out_of_memory(error) and not any(words in str(error) for words in OF_THE_DEVICE)


def reason(error: Exception) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
