"""A save that is killed, or refused by the system, at each of its calls: no file is lost.

strace stands beside a process that saves, and kills it, or has a call fail, at the first, the
second, ... call. Then the old file is there, or the new one, whole; and the next save leaves
nothing but itself.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import fcnn
from fcnn._format import load_checkpoint
from fcnn.tables import Preparation, Target

from .common import Lacking, goes_on

SAVED, REFUSED = 0, 3
# What happens to a call, and to which (of strace's names; None: to all).
INJECTIONS = {
    "killed": ("signal=KILL", None),
    "no space": ("error=ENOSPC", {"write", "writev", "pwrite64", "fsync", "openat", "rename"}),
    "input/output error": (
        "error=EIO",
        {"write", "writev", "pwrite64", "fsync", "openat", "newfstatat", "fstat", "flock", "fchmod",
         "rename", "close", "unlink", "getdents64", "lseek"},
    ),
}  # fmt: skip


def save_network(path, version):
    fcnn.Network((30, 40, 3), rng=version).save(path)


def save_model(path, version):
    data = {"a": [1.0, 2.0, None, 4.0], "c": ["x", "y", "x", "y"]}
    target = Target(["t"]).scaled(np.array([[1.0], [2.0]]))
    net = fcnn.Network((3, 1), loss="squared_error", rng=version)
    fcnn.Model(net, Preparation.fit(data), target).save(path)


def save_checkpoint(path, version):
    net = fcnn.Network((2, 30, 1), loss="squared_error", rng=version)
    net.fit(np.eye(2), [1.0, 2.0], epochs=1, optimizer="adam",
            callbacks=[fcnn.ModelCheckpoint(path)])  # fmt: skip


def read_checkpoint(path):
    load_checkpoint(fcnn.Network((2, 30, 1), loss="squared_error"), path)


KINDS = {
    "network": (save_network, fcnn.load),
    "model": (save_model, fcnn.load),
    "checkpoint": (save_checkpoint, read_checkpoint),
}


def child_saves(save, path, version):
    """Stop, until someone watches; save; and tell by the exit code how it went."""
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        save(path, version)
    except OSError:
        os._exit(REFUSED)
    except BaseException:
        os._exit(1)
    os._exit(SAVED)


def watched(save, path, *injection):
    """Let a child save while strace looks on, and disturbs it; return its status, and the calls."""
    child = os.fork()
    if child == 0:
        child_saves(save, path, 2)
    os.waitpid(child, os.WUNTRACED)
    log = path.with_name("strace.log")
    strace = subprocess.Popen(
        ["strace", "-qq", "-o", log, "-p", str(child), *injection], stderr=subprocess.DEVNULL
    )
    status = Path(f"/proc/{child}/status")
    while "TracerPid:\t0" in status.read_text() and strace.poll() is None:
        time.sleep(0.001)
    os.kill(child, signal.SIGCONT)
    _, ended = os.waitpid(child, 0)
    strace.wait()
    calls = re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE)
    log.unlink()
    return ended, calls


def disturbed_saves(save, path, how):
    """Disturb each call of a save in turn; yield, behind each, how the process ended."""
    what, names = INJECTIONS[how]
    _, calls = watched(save, path)
    for number, name in enumerate(calls):
        if names is None or name in names:
            occurrence = calls[: number + 1].count(name)
            save(path, 1)
            ended, made = watched(save, path, "-e", f"inject={name}:{what}:when={occurrence}")
            # The calls before it are those of an undisturbed save: it was this one.
            assert made[: number + 1] == calls[: number + 1], f"{made} instead of {calls}"
            yield ended


def check(kind, how, folder, most):
    """Disturb the calls of a save; return how many there were."""
    save, _ = KINDS[kind]
    path = folder / "m"
    save(path, 1)
    old = numbers(kind, path)
    save(path, 2)
    new = numbers(kind, path)
    assert old != new
    count = 0
    for ended in itertools.islice(disturbed_saves(save, path, how), most or None):
        count += 1
        goes_on()
        left = numbers(kind, path)
        assert left in (old, new)
        if os.WIFSIGNALED(ended):
            assert how == "killed"
        else:
            assert os.WEXITSTATUS(ended) in (SAVED, REFUSED), f"exit code {os.WEXITSTATUS(ended)}"
            assert os.WEXITSTATUS(ended) == REFUSED or left == new, "it says that it has saved"
        save(path, 2)
        assert numbers(kind, path) == new
        assert os.listdir(folder) == ["m"], os.listdir(folder)
    assert count
    return count


def numbers(kind, path):
    """Return the parameters in a file, which is whole: its checksum was compared."""
    if kind == "checkpoint":
        read_checkpoint(path)
    net = fcnn.load(path)
    net = getattr(net, "network", net)
    return net.parameters.tobytes()


def run(size, seed):
    if shutil.which("strace") is None:
        raise Lacking("needs strace (apt-get install strace)")
    counts = {}
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            for how in INJECTIONS:
                folder = Path(name) / f"{kind} {how}".replace(" ", "-").replace("/", "-")
                folder.mkdir()
                counts[how] = counts.get(how, 0) + check(kind, how, folder, size)
    said = ", ".join(f"{how} {count} times" for how, count in counts.items())
    return f"saves of {', '.join(KINDS)}: {said}: the old file or the new one, nothing left behind"
