"""The catalog names what faster-whisper knows, and needs nothing to be imported."""

from __future__ import annotations

import subprocess
import sys

from whisperx_api.models.catalog import TRANSCRIPTION_MODELS, is_size, repo_id


def test_sizes_are_those_of_faster_whisper():
    from faster_whisper import utils

    assert dict(TRANSCRIPTION_MODELS) == utils._MODELS


def test_a_size_stands_for_its_repository_and_an_id_for_itself():
    assert is_size("large-v2") and not is_size("starter") and not is_size("org/model")
    assert repo_id("turbo") == repo_id("large-v3-turbo")
    assert repo_id("org/model") == "org/model"


def test_models_of_the_base_package_import_nothing_of_the_engine():
    code = (
        "import sys\n"
        "import whisperx_api.client, whisperx_api.models.resolve, whisperx_api.doctor, whisperx_api.cli.models\n"
        "print([n for n in ('torch', 'whisperx', 'pyannote', 'transformers', 'huggingface_hub') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
