"""How a child process lives beside its server, and dies with it, whatever happens to the server."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
AUTOGROUP = Path("/proc/self/autogroup")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, and leave at once if that has happened already.

    `parent` is the process id of the server. The kernel watches the *thread* that started this process (prctl(2)),
    so it must be one that lives as long as the server. Where there is no prctl (macOS) the end of the socket tells the
    same. SIGTERM and SIGINT, which a service manager may send to the server's whole group, are the server's to answer:
    it lets the work at hand finish first.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def let_others_go_first(niceness: int) -> None:
    """Lower this process's priority by `niceness`, 0 to 19, so that what answers people is not kept waiting by it.

    Linux may weigh whole sessions against each other (sched(7), autogroup): a process that leads a session, as
    children of the server do, is then nice to nobody unless its session is. Batch scheduling there keeps a thread that
    wakes up from taking the processor out of another's hands.
    """
    os.nice(niceness)
    if sys.platform == "linux":
        with suppress(OSError):  # not every sandbox has it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):  # nor this
        if os.getsid(0) == os.getpid():
            AUTOGROUP.write_text(str(niceness))


def python_module(name: str) -> list[str]:
    """Return the command that runs the module `name` in a Python of its own.

    `python -m` would import from the current folder first, where anybody's files may lie.
    """
    path = "import sys; sys.path[:] = [folder for folder in sys.path if folder]"
    run = f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", f"{path}; {run}"]
