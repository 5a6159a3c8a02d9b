"""The documents as a site: built without a warning, every link leads somewhere, and nothing comes from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

from docsite import check, hooks, languages_page, markdown, repository, settings_page
from tests.conftest import ROOT
from whisperx_api.env_example import text_of
from whisperx_api.languages import LANGUAGES
from whisperx_api.pipeline.aligners import default_align_model
from whisperx_api.settings import Settings


def build(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build the site into a folder, as `make docs` does: it hears of warnings, which `--quiet` would keep from it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder), *words]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "WHISPER_MODEL": "no such model"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_site_has_no_fault(site: Path) -> None:
    assert list(check.faults(site)) == []


def test_link_that_leads_nowhere_and_page_that_is_nowhere_stop_the_build(tmp_path: Path) -> None:
    for name in ("docs", "docsite"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("deploy", "examples", "web", "whisperx_api", ".env.example", "docker-compose.cluster.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "lost.md").write_text("# Lost\n\n[a](keys.md#nowhere) [b](gone.md) [c](/keys/)\n")
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode == 1
    for said in ('not included in the "nav"', "'#nowhere'", "'gone.md'", "'/keys/'", "Aborted with 4 warnings"):
        assert said in done.stderr + done.stdout, done.stderr


def test_generated_parts_are_there(site: Path) -> None:
    text = {name: (site / name / "index.html").read_text() for name in ("configuration", "api-reference", "models")}
    assert not [path for path in site.rglob("*.html") if "generated:" in path.read_text()]
    for name in Settings.model_fields:
        assert f'id="{name}"' in text["configuration"] and name.upper() in text["configuration"]
    assert 'id="post-api-v1-transcribe-upload"' in text["api-reference"]
    assert "WAV2VEC2_ASR_BASE_960H" in text["models"]


def test_site_is_found_through(site: Path) -> None:
    assert "RETENTION_HOURS" in (site / "search" / "search_index.json").read_text()


def test_no_generated_part_is_kept() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
        timeout=30, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert not [path for path in listed if re.match(r"build/|site/|docs/.*\.html$", path)]
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert "<!-- generated: settings -->" in text and "KEEP_ALIVE_SECONDS" not in text


# --- what the check sees ---

HEAD = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self'\">"


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="gone/">x</a>', "leads to gone/, which is not there"),
        ('<a href="#gone">x</a>', "leads to #gone, and there is no such place"),
        ('<a href="other/#gone">x</a>', "leads to other/#gone, and there is no such place"),
        ('<img src="gone.svg">', "gone.svg is not there"),
        ('<img src="https://elsewhere.example/x.png">', "asks elsewhere.example"),
        ('<img srcset="//elsewhere.example/x.png 2x">', "asks elsewhere.example"),
        ('<script src="//elsewhere.example/x.js"></script>', "asks elsewhere.example"),
        ('<link rel="stylesheet" href="https://elsewhere.example/x.css">', "asks elsewhere.example"),
        ('<link rel="preconnect" href="https://elsewhere.example">', "asks elsewhere.example"),
        ('<p style="background: url(https://elsewhere.example/x.png)">x</p>', "asks elsewhere.example"),
        ('<style>@import "https://elsewhere.example/x.css";</style>', "asks elsewhere.example"),
        ('<iframe src="http://elsewhere.example/"></iframe>', "asks elsewhere.example"),
        ('<meta http-equiv="refresh" content="0; url=https://elsewhere.example/">', "asks elsewhere.example"),
    ],
)
def test_fault_of_a_page_is_seen(page: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text(f'{HEAD}<p id="here">x</p>')
    (tmp_path / "index.html").write_text(HEAD + page)
    (found,) = check.faults(tmp_path)
    assert found.startswith("index.html: ") and fault in found
    assert check.main(str(tmp_path)) == 1


def test_page_without_a_fault_has_none(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        f'{HEAD}<a href="#here">x</a><p id="here">x</p><a href="https://elsewhere.example/">x</a>'
        '<link rel="canonical" href="https://here.example/"><img src="a.svg"><img src="data:image/png;base64,x">'
    )
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><style>a { b: url(#c) }</style></svg>')
    assert list(check.faults(tmp_path)) == [] and check.main(str(tmp_path)) == 0


def test_style_and_drawing_that_ask_elsewhere_are_seen(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(HEAD)
    (tmp_path / "a.css").write_text("@font-face { src: url(https://elsewhere.example/a.woff2) }")
    (tmp_path / "a.svg").write_text('<svg><image xlink:href="https://elsewhere.example/a.png"/></svg>')
    assert {fault.partition(":")[0] for fault in check.faults(tmp_path)} == {"a.css", "a.svg"}


def test_page_that_lets_a_browser_ask_others_is_seen(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>x</p>")
    assert "nothing keeps a browser" in next(check.faults(tmp_path))
    assert list(check.faults(tmp_path / "empty"))


# --- the generated parts ---


def test_every_setting_has_a_row_with_all_that_is_known_of_it() -> None:
    rows = [row for row in settings_page.render().splitlines() if row.startswith("| <span")]
    assert len(rows) == len(Settings.model_fields)
    for row, (name, field) in zip(rows, Settings.model_fields.items(), strict=True):
        variable, type_, default, meaning = re.split(r" (?<!\\)\| ", row.removeprefix("| ").removesuffix(" |"))
        assert f"`{name.upper()}`<br>`--{name.replace('_', '-')}`" in variable and type_
        assert default == (f"`{text_of(field.default)}`" if text_of(field.default) else "")
        assert re.sub(r"\\(.)", r"\1", meaning).replace("&lt;", "<") == field.description
    assert "whole number from 1 to 64" in settings_page.render() and "`on`, `off`" in settings_page.render()


def test_table_of_languages_is_what_the_engine_takes() -> None:
    models = languages_page.align_models()
    assert {code: default_align_model(code) for code in LANGUAGES} == {code: models.get(code) for code in LANGUAGES}
    assert len(re.findall("^[|] `", languages_page.render(), re.MULTILINE)) == len(LANGUAGES)


def test_cell_means_nothing_but_code() -> None:
    assert markdown.cell("a|b *c* <d> `e|f` g_h") == r"a\|b \*c\* &lt;d> `e|f` g\_h"


def test_unknown_part_stops_the_build() -> None:
    with pytest.raises(PluginError, match="'nothing'"):
        hooks.MARKER.sub(hooks._part, "<!-- generated: nothing -->")


def test_links_into_the_repository_become_pages() -> None:
    text = "[a](../deploy/nginx.conf) [b](keys.md) [c](../deploy/kubernetes#x) [d](../../README.md)"
    assert repository.relink(text, "page.md") == (
        "[a](files/deploy/nginx.conf.md) [b](keys.md) [c](files/deploy/kubernetes.md#x) [d](../../README.md)"
    )
    assert repository.relink("[a](../../examples/curl.sh) [b](../keys.md)", "migrating/page.md") == (
        "[a](../files/examples/curl.sh.md) [b](../keys.md)"
    )
    made = repository.pages(ROOT, ["deploy/kubernetes", "deploy/nginx.conf"])
    assert "(kubernetes/api.yaml.md)" in made["files/deploy/kubernetes.md"]
    assert "proxy_buffering off;" in made["files/deploy/nginx.conf.md"]
    assert "kind: Deployment" in made["files/deploy/kubernetes/api.yaml.md"]
    with pytest.raises(FileNotFoundError):
        repository.pages(ROOT, ["deploy/gone.conf"])


def test_reader_s_privacy_is_kept() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in text and "analytics" not in text and MkDocsConfig
