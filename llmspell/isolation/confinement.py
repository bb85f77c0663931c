"""Confines a worker process with the means of the operating system's kernel.

Every worker has resource limits. On Linux, further measures are used as far as the kernel offers
them: Landlock, which denies access to the file system and TCP; a system call filter (libseccomp),
which allows only what computing and talking over the open pipe need; and without that filter, an
empty network namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # actions, see seccomp.h
_ALLOWED = (
    *("read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "close"),
    *("brk", "munmap", "mremap", "madvise", "futex", "sched_yield", "restart_syscall"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack"),
    *("clock_gettime", "clock_gettime64", "gettimeofday", "time", "getrandom"),
    *("getrusage", "prlimit64", "setrlimit", "getpid", "gettid", "tgkill"),
    *("poll", "exit", "exit_group"),
)
_NOT_EXECUTABLE = ("mmap", "mmap2", "mprotect")  # allowed for memory that is not executable
_PROT_EXEC = 4

# The numbers are the same on every architecture, see landlock(7).
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_FILES = ((1, 13), (2, 14), (3, 15), (5, 16))  # ABI version, number of its rights
_LANDLOCK_NET_ABI, _LANDLOCK_NET = 4, 0b11
_LANDLOCK_SCOPE_ABI, _LANDLOCK_SCOPE = 6, 0b11

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class Measure(NamedTuple):
    """One measure that confines a worker.

    `note` says what it does, or why it is not available here.
    """

    name: str
    available: bool
    note: str


class Refused(Exception):
    """The kernel does not offer the measure, or does not permit it here."""


def prepare() -> None:
    """Load everything `confine` uses, since a confined process cannot."""
    _problem(_libseccomp)
    _address_space()


def confine(memory: int) -> list[str]:
    """Confine this process irrevocably; return the names of the measures that worked.

    Args:
        memory: How much its address space may still grow, in bytes.
    """
    taken = _take(_measures(memory))
    if taken["seccomp"]:  # the filter denies creating a namespace, and makes it unnecessary
        taken |= _take({"namespace": leave_network})
    return [name for name, problem in taken.items() if not problem]


def available() -> list[Measure]:
    """Return the available measures, determined by trying them in a separate process."""
    import json
    import subprocess

    tried = subprocess.run(  # noqa: S603 - it runs this file
        [sys.executable, "-I", "-S", __file__], capture_output=True, check=True
    )
    problems = json.loads(tried.stdout)
    return [Measure(name, not problems[name], problems[name] or _NOTES[name]) for name in _NOTES]


def limit_resources(memory: int) -> None:
    """Deny new files, processes and core dumps, and more than that much additional memory."""
    most = {
        resource.RLIMIT_AS: _address_space() + memory,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, value in most.items():
        hard = resource.getrlimit(kind)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_DUMPABLE, 0)


def limit_cpu(seconds: int) -> None:
    """Make the kernel kill this process after that many seconds of CPU time since its start."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def filter_system_calls() -> None:
    """Deny every system call except the allowed ones. Raises Refused."""
    library = _libseccomp()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    context = library.seccomp_init(_REFUSE)
    if not context:
        raise Refused("libseccomp cannot make a filter")
    try:
        for name in _ALLOWED:
            _allow(library, context, name)
        for name in _NOT_EXECUTABLE:
            _allow(library, context, name, _Argument(2, _MASKED_EQUAL, _PROT_EXEC, 0))
        if (failed := library.seccomp_load(context)) < 0:
            raise Refused(f"the kernel refuses the filter: {os.strerror(-failed)}")
    finally:
        library.seccomp_release(context)


def leave_file_system() -> None:
    """Deny opening files and connecting over TCP. Raises Refused."""
    abi = _landlock(_LANDLOCK_CREATE, None, 0, 1)
    rights = [count for since, count in _LANDLOCK_FILES if since <= abi][-1]
    net = _LANDLOCK_NET if abi >= _LANDLOCK_NET_ABI else 0
    scope = _LANDLOCK_SCOPE if abi >= _LANDLOCK_SCOPE_ABI else 0
    attributes = struct.pack("<QQQ", (1 << rights) - 1, net, scope)
    size = 24 if scope else 16 if net else 8
    rules = _landlock(_LANDLOCK_CREATE, attributes[:size], size, 0)
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _landlock(_LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def leave_network() -> None:
    """Move to an empty network namespace. Raises Refused."""
    if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise Refused(f"cannot create a namespace: {os.strerror(ctypes.get_errno())}")


def _measures(memory: int) -> dict[str, Callable[[], None]]:
    # Ordered: Landlock needs a descriptor, which the rlimits deny, and the filter denies both.
    return {
        "landlock": leave_file_system,
        "rlimits": partial(limit_resources, memory),
        "seccomp": filter_system_calls,
    }


def _take(measures: dict[str, Callable[[], None]]) -> dict[str, str]:
    """Apply the measures; return for each why it failed, or ""."""
    prepare()
    return {name: _problem(take) for name, take in measures.items()}


def _problem(take: Callable[[], object]) -> str:
    """Apply one measure; return why it failed, or ""."""
    try:
        take()
    except (Refused, OSError, ValueError) as error:
        return str(error)
    return ""


@cache
def _address_space() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib takes 10 ms to import
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 1 << 30


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise Refused(os.strerror(ctypes.get_errno()))


def _landlock(call: int, *args: Any) -> int:
    if sys.platform != "linux":
        raise Refused("it needs Linux")
    result = int(_libc().syscall(call, *args))
    if result < 0:
        raise Refused(f"no Landlock: {os.strerror(ctypes.get_errno())}")
    return result


class _Argument(ctypes.Structure):
    """libseccomp's `scmp_arg_cmp`: which argument, the comparison, and the values to compare."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


_MASKED_EQUAL = 7


@cache
def _libseccomp() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise Refused("libseccomp is not installed") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    for function in (library.seccomp_load, library.seccomp_release):
        function.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Argument),
    ]
    return library


def _allow(library: ctypes.CDLL, context: int, name: str, *arguments: _Argument) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _UNKNOWN:
        return  # a system call of another architecture
    array = (_Argument * len(arguments))(*arguments)
    failed = library.seccomp_rule_add_array(context, _ALLOW, number, len(arguments), array)
    if failed < 0:
        raise Refused(f"libseccomp refuses the rule for {name}: {os.strerror(-failed)}")


_UNKNOWN = -1
_NOTES = {
    "rlimits": "no new files, processes or core dumps; memory and CPU are limited",
    "namespace": "no network",
    "landlock": "no files, no TCP",
    "seccomp": "only the system calls that computation needs",
}


if __name__ == "__main__":
    import json

    measures = {"namespace": leave_network} | _measures(1 << 30)
    sys.stdout.write(json.dumps(_take(measures)))
