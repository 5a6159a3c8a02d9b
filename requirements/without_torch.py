"""Filters a lock file: everything but torch and the CUDA packages, for images that take torch from PyTorch's CPU index.

python requirements/without_torch.py < requirements/engine.txt > requirements/engine-cpu.txt
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

TORCH = re.compile(r"(torch|torchaudio|torchvision|triton|nvidia-[a-z0-9-]+)==")
"""The packages that PyTorch's CPU index replaces, and those that only torch's CUDA build needs."""


def without_torch(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a lock file but for those of torch's packages. A package's further lines are indented."""
    keep = True
    for line in lines:
        if not line[:1].isspace():
            keep = not TORCH.match(line)
        if keep:
            yield line


if __name__ == "__main__":
    sys.stdout.writelines(without_torch(sys.stdin))
