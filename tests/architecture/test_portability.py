"""Shipped code runs on Windows, the one system that has the real terminal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import dotted, faults, imported_modules

POSIX_MODULES = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": [
        "chown",
        "chroot",
        "fchdir",
        "fchmod",
        "fchown",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getloadavg",
        "getpgid",
        "getpgrp",
        "getpriority",
        "getresuid",
        "getsid",
        "getuid",
        "killpg",
        "lchown",
        "lockf",
        "mkfifo",
        "mknod",
        "nice",
        "openpty",
        "pipe2",
        "posix_fadvise",
        "posix_spawn",
        "pread",
        "pwrite",
        "sched_getaffinity",
        "sched_setaffinity",
        "setegid",
        "seteuid",
        "setgid",
        "setpgid",
        "setpriority",
        "setsid",
        "setuid",
        "statvfs",
        "sync",
        "uname",
        "wait",
        "wait3",
        "wait4",
        "waitid",
        "O_CLOEXEC",
        "O_DIRECTORY",
        "O_NOFOLLOW",
        "O_SYNC",
        "WNOHANG",
        "WIFEXITED",
    ],
    "signal": [
        "SIGALRM",
        "SIGCHLD",
        "SIGCONT",
        "SIGHUP",
        "SIGKILL",
        "SIGPIPE",
        "SIGQUIT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGUSR1",
        "SIGUSR2",
        "alarm",
        "pause",
        "pthread_kill",
        "pthread_sigmask",
        "setitimer",
        "siginterrupt",
        "sigpending",
        "sigtimedwait",
        "sigwait",
    ],
    "time": ["clock_gettime", "clock_settime", "tzset", "CLOCK_MONOTONIC", "CLOCK_REALTIME"],
    "socket": ["AF_UNIX", "SO_REUSEPORT"],
}
POSIX_CALLS = {f"{module}.{name}" for module, names in POSIX_NAMES.items() for name in names}
POSIX_TEXT = re.compile(r"^/(tmp|dev|proc|etc|var|usr|bin|home)(/|$)|%-[dHIjmMSy]|^fork(server)?$")


def unguarded(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under an `if` that asks for the platform."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If | ast.IfExp) and re.search(r"sys\.platform|os\.name|hasattr", ast.unparse(child.test)):
            continue
        yield child
        yield from unguarded(child)


def posix_only(tree: ast.AST) -> list[str]:
    """What would fail on Windows, with its line."""
    found = [f"{line}: import {name}" for line, name in imported_modules(tree) if name.split(".")[0] in POSIX_MODULES]
    for node in unguarded(tree):
        if isinstance(node, ast.Attribute) and dotted(node) in POSIX_CALLS:
            found.append(f"{node.lineno}: {dotted(node)}")
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.lineno}: {node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in POSIX_CALLS]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and POSIX_TEXT.search(node.value):
            found.append(f"{node.lineno}: {node.value!r}")
    return found


def text_without_encoding(tree: ast.AST) -> list[str]:
    """Text files opened in whatever encoding the system has; on Windows that is not UTF-8."""
    return [
        f"{node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _opens_text(node) and not any(word.arg == "encoding" for word in node.keywords)
    ]


def _opens_text(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("read_text", "write_text"):
        return len(call.args) <= (1 if call.func.attr == "write_text" else 0)
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        return "b" not in _mode(call, 1, "r")
    return isinstance(call.func, ast.Attribute) and call.func.attr == "open" and "b" not in _mode(call, 0, "b")


def _mode(call: ast.Call, position: int, default: str) -> str:
    given = [word.value for word in call.keywords if word.arg == "mode"] or call.args[position : position + 1]
    value = given[0].value if given and isinstance(given[0], ast.Constant) else default
    return value if isinstance(value, str) and re.fullmatch(r"[rwaxbt+]+", value) else "b"


def test_nothing_works_on_posix_only() -> None:
    assert faults(lambda module: posix_only(module.tree)) == []


def test_text_files_name_their_encoding() -> None:
    assert faults(lambda module: text_without_encoding(module.tree)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os\nos.fork()",
        "from os import killpg",
        "import signal\nsignal.signal(signal.SIGKILL, f)",
        "open('/tmp/x')",
        "get_context('fork')",
        "now.strftime('%-d')",
    ],
)
def test_the_scan_sees(code: str) -> None:
    assert posix_only(ast.parse(code))


@pytest.mark.parametrize("code", ["if os.name != 'nt':\n    os.nice(5)", "os.kill(1, signal.SIGTERM)", "get_context('spawn')", "x = '%d'"])
def test_the_scan_lets_pass(code: str) -> None:
    assert posix_only(ast.parse(code)) == []


@pytest.mark.parametrize("code", ["open('f')", "open('f', 'w')", "p.read_text()", "p.write_text(t)", "p.open('w')", "p.open(mode='r')"])
def test_the_scan_sees_text_without_encoding(code: str) -> None:
    assert text_without_encoding(ast.parse(code))


@pytest.mark.parametrize("code", ["open('f', 'rb')", "p.read_text('utf-8')", "p.open('w', encoding='utf-8')", "archive.open(name)"])
def test_the_scan_lets_bytes_and_named_encodings_pass(code: str) -> None:
    assert text_without_encoding(ast.parse(code)) == []
