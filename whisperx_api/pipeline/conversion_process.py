"""The process that converts one Transformers Whisper model to CTranslate2: `PARENT SOURCE TARGET QUANTIZATION`.

The last line that it writes to stdout is `{}`, or `{"error": …}` with what is wrong with the model.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from whisperx_api import telemetry
from whisperx_api.extras import how_to_install
from whisperx_api.languages import LANGUAGES
from whisperx_api.lifeline import die_with_parent, let_others_go_first

NICENESS = 10
LEAST_MEL_BINS = 80


def convert(source: Path, target: Path, quantization: str) -> None:
    """Convert the model in `source` into `target`, with all that it needs to work without the network."""
    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperFeatureExtractor, WhisperTokenizerFast

    TransformersConverter(str(source), low_cpu_mem_usage=True).convert(str(target), quantization=quantization)
    tokenizer = WhisperTokenizerFast.from_pretrained(str(source))  # from vocab.json and merges.txt where need be
    tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
    preprocessor = source / "preprocessor_config.json"
    if preprocessor.is_file():
        shutil.copyfile(preprocessor, target / preprocessor.name)
    else:  # without it large-v3's 128 bands would be taken for 80
        bins = json.loads((source / "config.json").read_text()).get("num_mel_bins", LEAST_MEL_BINS)
        WhisperFeatureExtractor(feature_size=bins).to_json_file(target / preprocessor.name)
    _complete(target / "config.json", tokenizer)


def _complete(path: Path, tokenizer: Any) -> None:
    """Add what the converter can't know where the model's generation config does not say it."""
    config = json.loads(path.read_text())
    if not config.get("lang_ids"):
        tokens = [f"<|{code}|>" for code in LANGUAGES]
        ids = [tokenizer.convert_tokens_to_ids(token) for token in tokens]
        config["lang_ids"] = sorted({one for one in ids if one is not None and one != tokenizer.unk_token_id})
    for name in ("suppress_ids", "suppress_ids_begin"):
        config[name] = config.get(name) or []
    path.write_text(json.dumps(config, indent=2))


def main(arguments: list[str]) -> int:
    """Be the process."""
    die_with_parent(int(arguments[0]))
    let_others_go_first(NICENESS)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is none of the answer
    telemetry.switch_off()
    os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
    answer = {}
    try:
        convert(Path(arguments[1]), Path(arguments[2]), arguments[3])
    except ImportError as error:
        answer = {"error": f"{error}; run {how_to_install('engine')}"}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
