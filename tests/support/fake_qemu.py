# SPDX-License-Identifier: GPL-2.0-only
"""A program in the place of QEMU that behaves as a test defines. Its "kernel" is this machine's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers import build
from tests.support import ROOT

HEAD = """#!{python}
import os, re, socket, struct, sys, time
sys.path.insert(0, {root!r})
if "-help" in sys.argv:
    sys.exit(print("-sandbox on"))
words = " ".join(sys.argv)
if "-serial stdio" in words:
    # helpers/subjects/cpu_models.py reads ID_AA64MMFR0_EL1.
    sys.exit(sys.stdout.buffer.write({mmfr0!r}) and 0)
wire = socket.socket(fileno=int(re.search(r"socket,id=wire,fd=(\\d+)", words)[1]))
console = open(re.search(r"file:(\\S+)", words)[1], "w", buffering=1)
from pathlib import Path
from helpers.executor.native import Native
executor = Native(Path({native!r}))

def take(n):
    out = b""
    while len(out) < n:
        part = wire.recv(n - len(out))
        if not part:
            sys.exit(0)
        out += part
    return out

def ask():
    return take(struct.unpack("<I", take(4))[0])

def frame(body):
    return struct.pack("<I", len(body)) + body

def honest(times=1):
    for _ in range(times):
        wire.sendall(frame(executor.run(ask())))

"""

_MMFR0 = (0x22200101126).to_bytes(8, "little")
"""ID_AA64MMFR0_EL1 of a CPU with pages of 4K, 16K and 64K."""
SILENCE = "time.sleep(600)\n"


class FakeQemu:
    """A fake QEMU in the first folder of PATH. Tests define its behaviour in Python, and can use HEAD's functions."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        build.build_all()
        self._path = folder / "qemu-system-aarch64"
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        self.does(SILENCE)

    def does(self, text: str) -> None:
        head = HEAD.format(python=sys.executable, root=str(ROOT), native=str(build.NATIVE), mmfr0=_MMFR0)
        self._path.write_text(head + text)
        self._path.chmod(0o755)
