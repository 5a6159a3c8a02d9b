"""Looks whether a vulnerability is known of what the lock files hold: `python requirements/audit.py FILE …`.

Exits with 1 for one that is not in `ACCEPTED`. The data come from the network (https://osv.dev): where they can't be
had, this says so and fails nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

ACCEPTED: dict[str, str] = {}
"""Vulnerabilities that don't concern this service, by their ids, with the reason."""
SECONDS = 50
"""Longest time for all of it."""
OUT_OF_REACH = ("Could not connect", "ConnectionError", "Connection refused", "Max retries exceeded", "timed out",
                "ProxyError", "NameResolutionError", "SSLError", "HTTPError")  # fmt: skip
"""What pip-audit says where it can't have the data."""


def main(files: list[str]) -> int:
    """Print what is known, a line a vulnerability; return the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--format", "json", "--disable-pip",
               "--progress-spinner", "off", "--timeout", "10"]  # fmt: skip
    for file in files:
        command += ["--requirement", file]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return not_done(f"it took longer than {SECONDS} s")
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"]
        if any(sign in done.stderr for sign in OUT_OF_REACH):
            return not_done(said[-1][:120])
        print(done.stderr, file=sys.stderr)
        return 1
    found = [line for dependency in dependencies for line in known(dependency)]
    print("\n".join(found) or f"audit: nothing is known against the {len(dependencies)} packages in {', '.join(files)}")
    return 1 if found else 0


def known(dependency: dict[str, Any]) -> list[str]:
    """Return a line for each vulnerability of a package that is not accepted."""
    lines: list[str] = []
    for vulnerability in dependency.get("vulns", ()):
        names = [vulnerability["id"], *vulnerability.get("aliases", ())]
        if not ACCEPTED.keys() & set(names):
            mended = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            lines.append(f"audit: {dependency['name']} {dependency['version']}: {', '.join(names)}; mended in {mended}")
    return lines


def not_done(why: str) -> int:
    """Say that nothing was looked at."""
    print(f"audit: not done, for the data on vulnerabilities can't be had here: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
