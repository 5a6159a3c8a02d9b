"""The units of systemd: what they name is there, they stop in good order, and systemd takes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import blocks
from tests.units import INSTALLED, UNITS, analyze, read, verify
from whisperx_api.cli import COMMANDS
from whisperx_api.cli.console import USAGE
from whisperx_api.cli.serve import SHUTDOWN_SECONDS
from whisperx_api.engine.session import COMPANY_GRACE_SECONDS
from whisperx_api.settings import Settings, load_settings

NAMES = ("whisperx-api.service", "whisperx-worker.service")


def service(name: str) -> dict[str, str]:
    """Return the section Service, the last value of each name."""
    return {key: values[-1] for key, values in read(name)["Service"].items()}


def variables(name: str) -> dict[str, str]:
    return dict(word.split("=", 1) for line in read(name)["Service"]["Environment"] for word in line.split())


def test_these_are_all() -> None:
    assert sorted(path.name for path in UNITS.iterdir()) == sorted(NAMES)


def test_page_is_built_before_it_is_installed() -> None:
    texts = [block.text for block in blocks() if block.page == "docs/systemd.md"]
    before = [text.partition("pip install --no-deps")[0] for text in texts if "pip install --no-deps" in text]
    assert len(before) == 2 and all("make page" in text.splitlines() for text in before)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_takes_it(name: str, tmp_path: Path) -> None:
    verify(name, tmp_path)


def test_what_systemd_does_not_take_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Killmode"):
        verify(NAMES[0], tmp_path, "[Service]\nKillmode=mixed\n")


@pytest.mark.parametrize("name", NAMES)
def test_it_has_few_rights(name: str) -> None:
    done = analyze("security", "--offline=yes", "--threshold=30", "--no-pager", str(UNITS / name))
    assert done.returncode == 0, done.stdout + done.stderr
    told = service(name)
    assert told["CapabilityBoundingSet"] == "" and told["NoNewPrivileges"] == "yes" and told["User"] == "whisperx"
    assert "PrivateDevices" not in told and "MemoryDenyWriteExecute" not in told  # a GPU, and code made at run time


@pytest.mark.parametrize(("name", "command"), zip(NAMES, ("serve", "worker"), strict=True))
def test_command_and_settings_are_there(name: str, command: str) -> None:
    told = service(name)
    assert told["ExecStart"] == f"{INSTALLED} {command}" and command in COMMANDS
    values = variables(name)
    assert values.keys() <= {field.upper() for field in Settings.model_fields}
    load_settings(**{field.lower(): value for field, value in values.items()})
    assert values["DATA_DIR"] == told["WorkingDirectory"] == f"/var/lib/{told['StateDirectory']}"
    assert re.fullmatch(r"-?/etc/whisperx-api/\w+\.env", told["EnvironmentFile"])


@pytest.mark.parametrize("name", NAMES)
def test_there_is_time_to_end_in_good_order(name: str) -> None:
    told = service(name)
    assert told["KillSignal"] == "SIGTERM"
    assert told["KillMode"] == "mixed"  # an engine that gets the signal too would lose the stage at work
    assert told["OOMPolicy"] == "continue"
    usual = Settings.model_fields["shutdown_grace_seconds"].default
    grace = float(variables(name).get("SHUTDOWN_GRACE_SECONDS") or usual)
    after = COMPANY_GRACE_SECONDS if "worker" in name else SHUTDOWN_SECONDS
    assert float(told["TimeoutStopSec"]) > grace + after + 5


@pytest.mark.parametrize("name", NAMES)
def test_setting_that_can_not_be_used_is_not_tried_again(name: str) -> None:
    told = service(name)
    assert told["Restart"] == "on-failure" and told["RestartPreventExitStatus"] == str(USAGE)
