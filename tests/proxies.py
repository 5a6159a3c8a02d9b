"""nginx and Caddy with the documents' own configurations, in front of a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.server import ROOT, free_port

CERTIFICATE = ROOT / "tests" / "certificates" / "hooks.example.pem"
"""A certificate with its key."""


def program(name: str) -> str:
    """Return where a program is; a test can't do without it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    assert found, f"There is no {name} here: install it, as Debian's packages nginx-light and caddy do."
    return found


def nginx_configuration(text: str, folder: Path, server: int, port: int) -> Path:
    """Write the configuration of a page as one that nginx takes, for a server and a port of this machine."""
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{server}").replace(
        "listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"
    )
    text = re.sub(r"(ssl_certificate(?:_key)?) \S+;", rf"\1 {CERTIFICATE};", text)
    if not text.lstrip().startswith("server"):  # a location alone, "with the other lines as above"
        text = (
            f"server {{\nlisten 127.0.0.1:{port} ssl;\n"
            f"ssl_certificate {CERTIFICATE};\nssl_certificate_key {CERTIFICATE};\n"
            f"client_max_body_size 0;\n{text} }}"
        )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(
        f"{user}\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}\n{textwrap.indent(text, '  ')}\n}}\n"
    )
    return path


def caddy_configuration(text: str, folder: Path, server: int, port: int) -> Path:
    """Write the configuration of a page as one that Caddy takes, for a server and a port of this machine."""
    assert text.startswith("asr.example.org {\n")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{server}")
    text = text.replace(
        "asr.example.org {\n", f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {CERTIFICATE} {CERTIFICATE}\n"
    )
    path = folder / "Caddyfile"
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    return path


def check_nginx(text: str, folder: Path) -> None:
    """Have nginx read a configuration. Fails where it does not take it."""
    _succeed([program("nginx"), "-t", "-q", "-c", str(nginx_configuration(text, folder, 8000, free_port()))], folder)


def check_caddy(text: str, folder: Path) -> None:
    """Have Caddy read a configuration. Fails where it does not take it, or would write it otherwise."""
    path = caddy_configuration(text, folder, 8000, free_port())
    _succeed([program("caddy"), "validate", "--adapter", "caddyfile", "--config", str(path)], folder)
    plain = folder / "plain"
    plain.write_text(text)
    formatted = subprocess.run(
        [program("caddy"), "fmt", str(plain)], capture_output=True, text=True, timeout=30, check=False
    )
    assert formatted.stdout == text


def _succeed(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


@contextmanager
def proxy(kind: str, text: str, folder: Path, server: int) -> Iterator[int]:
    """Run nginx or caddy with a page's configuration in front of a server; yield its port, where it speaks TLS."""
    port = free_port()
    if kind == "nginx":
        command = [program("nginx"), "-c", str(nginx_configuration(text, folder, server, port))]
    else:
        path = caddy_configuration(text, folder, server, port)
        command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=_environment(folder), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            try:
                httpx.get(f"https://localhost:{port}/", verify=False, timeout=5)  # noqa: S501  # of no name here
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)
