"""What a process that parses strangers' files may not do, held by the kernel of Linux without any privilege.

Landlock (landlock(7)) leaves it the files that it is given and no others. A filter of system calls (seccomp(2)) leaves
it no sockets, no programs and no processes beside its own. Both are for good, and for threads begun after. Where one of
them is not to be had, the other holds, and the limits of setrlimit(2); `lacking` says so, and so does `confine`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

PR_GET_SECCOMP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 21, 22, 38
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls, with the same numbers on every machine."""
VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_REG, TRUNCATE = (1 << bit for bit in (0, 1, 2, 3, 5, 8, 14))
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""Rights that a file can have; the others are of folders."""
READING = READ_FILE | READ_DIR
WRITING = WRITE_FILE | READ_FILE | MAKE_REG | REMOVE_FILE | TRUNCATE
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights to files that Landlock knows of, by the version that brought the last of them."""
NET, SCOPES = 0b11, 0b11
"""TCP sockets (version 4), and signals and abstract sockets of others (version 6): all of it is refused."""

DENIED = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "fork": 57,
        "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "chroot": 161, "mount": 165, "tkill": 200,
        "keyctl": 250, "unshare": 272, "accept4": 288, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321, "execveat": 322, "userfaultfd": 323,
    },
    "aarch64": {
        "mount": 40, "chroot": 51, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "socket": 198, "bind": 200,
        "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211, "keyctl": 219, "execve": 221,
        "perf_event_open": 241, "accept4": 242, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282,
    },
}  # fmt: skip
"""System calls that are refused, by machine."""
DENIED_EVERYWHERE = {"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
TGKILL = {"x86_64": 234, "aarch64": 131}
CLONE3 = 435
CLONE_THREAD = 0x10000
X32 = 0x40000000
"""Begins the numbers of a second set of system calls on x86-64."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of the filter (BPF)."""
OF_NUMBER, OF_ARCH, OF_FIRST_ARGUMENT = 0, 4, 16
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, UNKNOWN = 0x00050000 | 1, 0x00050000 | 38
"""To fail with EPERM, and with ENOSYS: then the C library asks for a thread in the older way, which can be judged."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


NO_LANDLOCK = "There is no Landlock here: a decoder that is taken over could read the service's files."
NO_FILTER = "System calls are not filtered here: a decoder that is taken over could use the network."


def lacking() -> list[str]:
    """Say what there is not of what confines a process: nothing where the kernel has all, and lets it be used."""
    return [said for said, there in ((NO_LANDLOCK, landlock_version() >= 1), (NO_FILTER, _has_seccomp())) if not there]


def confine(read: Sequence[Path], write: Sequence[Path] = ()) -> list[str]:
    """Leave this process only files that are in `read`, or beneath it, and folders in `write`; no network, no programs.

    Returns what does not hold though it should: what `lacking` says is not among it.
    """
    if sys.platform != "linux":
        return []
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = landlock_version()
    files = version < 1 or _confine_files(version, read, write)
    calls = not _has_seccomp() or _filter_calls()
    return [said for said, held in ((NO_LANDLOCK, files), (NO_FILTER, calls)) if not held]


def limit(files: int, memory: int) -> None:
    """Bound how many files may be open and how much memory mapped, in bytes; no core is dumped, no process begun.

    Root may begin processes all the same, where the filter of system calls is lacking.
    """
    for kind, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_NPROC, 0),
    ):  # fmt: skip
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel speaks; 0 or less where it has none."""
    if sys.platform != "linux":
        return 0
    return _call("syscall", CREATE_RULESET, 0, 0, VERSION)


def _confine_files(version: int, read: Sequence[Path], write: Sequence[Path]) -> bool:
    handled = RIGHTS[max(known for known in RIGHTS if known <= version)]
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", NET)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPES)
    ruleset = _call("syscall", CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for paths, rights in ((read, READING), (write, WRITING)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        return _call("syscall", RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    try:
        if not path.is_dir():
            rights &= OF_FILES
        _call("syscall", ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _has_seccomp() -> bool:
    return sys.platform == "linux" and platform.machine() in DENIED and _call("prctl", PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def _filter_calls() -> bool:
    code = _filter(platform.machine(), os.getpid())
    program = _Program(len(code) // 8, code)
    return _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def _filter(machine: str, process: int) -> bytes:
    """Return the filter: a call is refused by its number, a thread is no process, and a signal to itself is none."""
    denied = sorted({**DENIED[machine], **DENIED_EVERYWHERE}.values())
    code = [
        _step(LOAD, OF_ARCH), _step(EQUAL, AUDIT_ARCH[machine], 1, 0), _step(RETURN, KILL), _step(LOAD, OF_NUMBER),
        _step(AT_LEAST, X32, 0, 1), _step(RETURN, REFUSE),
        _step(EQUAL, CLONE3, 0, 1), _step(RETURN, UNKNOWN),
    ]  # fmt: skip
    for number in denied:
        code += [_step(EQUAL, number, 0, 1), _step(RETURN, REFUSE)]
    for number, question, value in ((CLONE[machine], ANY_BIT, CLONE_THREAD), (TGKILL[machine], EQUAL, process)):
        code += [
            _step(EQUAL, number, 0, 4), _step(LOAD, OF_FIRST_ARGUMENT), _step(question, value, 0, 1),
            _step(RETURN, ALLOW), _step(RETURN, REFUSE),
        ]  # fmt: skip
    return b"".join([*code, _step(RETURN, ALLOW)])


def _step(instruction: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", instruction, if_true, if_false, value)


def _call(name: str, *arguments: object) -> int:
    """Call a function of the C library with whole numbers and pointers."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = ctypes.c_int if name == "prctl" else ctypes.c_long
    return function(*(ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments))
