"""The guard of a submission: what its process may open, import and start.

Python tells an audit hook of every file that is opened, every import, every new process. This hook
ends the process, with a word to the grader, where a submission does what no exercise asks for. It
cannot be removed. It uses only what it was given when it was made, so that nothing that the
submission replaces later (`isinstance`, `os.path.join`, `str.startswith` of a class of its own)
changes what it does.

It does not protect completely: compiled code can bypass it. Another user of the system (`--user`)
does. Neither decides on points; these depend on numbers alone, which the grader compares.

This file is read by the submission's process, so it imports nothing of elunet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

PROCESSES = (
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.startfile",
    "os.system",
    "os.kill",
    "os.killpg",
    "signal.pthread_kill",
    "subprocess.Popen",
    "pty.spawn",
)
"""Events of processes."""
MEMORY = ("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames")
"""Events of reading or writing memory outside of Python's objects."""
CHANGES = (
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.utime",
)
"""Events of files that are changed; their first argument is a path, of some the second as well."""
LOOKS = ("os.listdir", "os.scandir", "os.walk", "os.chdir")
"""Events of listing folders."""
MODULES = frozenset(
    {
        "ctypes",
        "_ctypes",
        "_posixsubprocess",
        "_testcapi",
        "_testinternalcapi",
        "_xxsubinterpreters",
    }
    | {
        "_interpreters",
        "_xxinterpchannels",
        "cffi",
        "_cffi_backend",
        "subprocess",
        "multiprocessing",
    }
)
"""Modules that could bypass the guard."""
WRITING = 0x3 | 0o100 | 0o1000 | 0o2000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND


def make_guard(
    end: Callable[[str], None],
    getcwd: Callable[[], str],
    readable: Sequence[str],
    packages: Sequence[str],
    folder: str,
    provided: Sequence[str],
) -> Callable[[str, tuple[Any, ...]], None]:
    """Return an audit hook.

    Parameters
    ----------
    end : callable
        Ends the process; is given the reason.
    getcwd : callable
    readable : sequence of str
        Folders that may be read, except the packages installed in them.
    packages : sequence of str
        Folders of packages that may be read.
    folder : str
        The submission's own, which may be written to.
    provided : sequence of str
        The modules of elunet that there are.
    """
    kind_of, text, data, number = type, str, bytes, int
    decode, split, joined, begins = bytes.decode, str.split, str.join, str.startswith
    processes, memory, changes, looks = PROCESSES, MEMORY, CHANGES, LOOKS
    modules, writing = MODULES, WRITING
    allowed, own = tuple(readable), tuple(provided)
    devices = ("/dev/null", "/dev/urandom", "/dev/random")
    installed = tuple(packages)
    package, dotted, streams, calls = "elunet", "elunet.", "socket.", "ctypes."

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import":
            name = arguments[0]
            if kind_of(name) is text:
                if name in modules:
                    end(joined("", ("it imports ", name, ", which is not needed in any exercise")))
                if (name == package or begins(name, dotted)) and name not in own:
                    end(joined("", ("it imports ", name, "; solve the exercise without it")))
            return
        if event in processes:
            end(joined("", ("it starts or ends another process (", event, ")")))
            return
        if event in memory or begins(event, calls):
            end(joined("", ("it looks into memory that is not its own (", event, ")")))
            return
        if begins(event, streams):
            end("it opens a connection")
            return
        is_change = event in changes
        if not (event == "open" or is_change or event in looks):
            return
        for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if path is None or kind_of(path) is number:
                continue
            if kind_of(path) is data:
                path = decode(path, "utf-8", "replace")
            if kind_of(path) is not text:
                end("it opens a file with a path that is not a string")
                return
            whole = path if begins(path, "/") else joined("/", (getcwd(), path))
            parts: list[str] = []
            for part in split(whole, "/"):
                if part == "..":
                    parts = parts[:-1]
                elif part not in ("", "."):
                    parts = [*parts, part]
            whole = joined("", ("/", joined("/", parts)))
            writes = is_change
            if event == "open":
                mode, flags = arguments[1], arguments[2]
                if kind_of(mode) is text:
                    writes = "w" in mode or "a" in mode or "+" in mode or "x" in mode
                elif kind_of(flags) is number:
                    writes = (flags & writing) != 0
            inside = whole == folder or begins(whole, joined("", (folder, "/")))
            reads = whole in devices or any_begins(whole, installed)
            if not reads and any_begins(whole, allowed):
                reads = "site-packages" not in parts and "dist-packages" not in parts
            if not inside and (writes or not reads):
                verb = "writes to " if writes else "reads "
                end(joined("", ("it ", verb, whole[:200])))

    def any_begins(whole: str, folders: tuple[str, ...]) -> bool:
        for one in folders:  # noqa: SIM110 (any() is a name that can be replaced)
            if whole == one or begins(whole, joined("", (one, "/"))):
                return True
        return False

    return hook


def arm(hook: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Install the guard; it cannot be removed."""
    sys.addaudithook(hook)
