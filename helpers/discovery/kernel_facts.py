# SPDX-License-Identifier: GPL-2.0-only
"""Facts about the kernel under test, read from its files, that identify its build in the report.

No verdict depends on them. A fact that cannot be read is "unknown".
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Mapping

from helpers.discovery.kvm_mode import kvm_mode
from helpers.executor.program import Arg, Program
from helpers.kvm import Kvm

VERSION, NOTES, CONFIG, CPUS = "/proc/version", "/sys/kernel/notes", "/proc/config.gz", "/proc/cpuinfo"
_MACHINES = (
    "/sys/firmware/devicetree/base/model",
    "/sys/class/dmi/id/product_name",
    "/sys/firmware/devicetree/base/compatible",
)
_CHUNK, _CHUNKS = 1 << 16, 16
"""Bytes of a read, and reads of a file: a compressed configuration has 40 to 300 KB."""
_LARGEST_CONFIG = 8 << 20
"""Bytes. Hostile data must not fill this machine's memory."""
_GNU, _BUILD_ID = b"GNU\0", 3
"""The owner and the type of the note that holds a build id (elf.h, NT_GNU_BUILD_ID)."""
_LONGEST = 400


def about(kvm: Kvm) -> dict[str, str]:
    """Build, configuration, processors, machine, KVM's mode and the size of VMs, as text."""
    program = Program()
    paths = (VERSION, NOTES, CONFIG, CPUS, *_MACHINES)
    reads = {path: _read(program, path) for path in paths}
    answer = kvm.subject.run(program)
    files = {path: b"".join(answer[chunk].data for chunk in chunks) for path, chunks in reads.items()}
    facts = {
        "kernel's banner": _text(files[VERSION]),
        "build id": build_id(files[NOTES]),
        "configuration": config_hash(files[CONFIG]),
        "processors": processors(files[CPUS]),
        "machine": next((_text(files[path]) for path in _MACHINES if files[path]), ""),
        "KVM mode": kvm_mode(kvm),
        "IPA size": f"{kvm.ipa_bits} bits (VM type {kvm.vm_type})",
    }
    return {name: text or "unknown" for name, text in facts.items()}


def build_id(notes: bytes) -> str:
    """The build id among ELF notes, in hexadecimal; "" without one."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = at + 12
        data = name + (name_size + 3 & ~3)
        if kind == _BUILD_ID and notes[name : name + name_size] == _GNU:
            return notes[data : data + min(size, 64)].hex()
        at = data + (size + 3 & ~3)
    return ""


def config_hash(compressed: bytes) -> str:
    """SHA-256 of the file .config; "" if the data cannot be unpacked."""
    if not compressed:
        return ""
    try:
        text = zlib.decompressobj(wbits=31).decompress(compressed, _LARGEST_CONFIG)
    except zlib.error:
        return ""
    return f"sha256 {hashlib.sha256(text).hexdigest()} ({CONFIG})"


def processors(cpuinfo: bytes) -> str:
    """Number and kinds of the processors: implementer, part, variant and revision as in MIDR_EL1."""
    text = cpuinfo.decode("utf-8", "replace")
    names = ("implementer", "part", "variant", "revision")
    values = {name: re.findall(rf"^CPU {name}\s*: (\S+)", text, re.MULTILINE) for name in names}
    kinds = list(dict.fromkeys(zip(*values.values(), strict=False)))
    count = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    shown = "; ".join(", ".join(f"{name} {value}" for name, value in zip(names, kind, strict=True)) for kind in kinds)
    return _text(f"{count}: {shown}".encode()) if count and kinds else ""


def _read(program: Program, path: str) -> list[Arg]:
    fd = program.open(path, os.O_RDONLY | os.O_CLOEXEC)
    chunks = [program.read(fd, _CHUNK) for _ in range(_CHUNKS if path == CONFIG else 1)]
    program.close(fd)
    return chunks


def _text(data: bytes) -> str:
    """One bounded line without control characters."""
    words = data.replace(b"\0", b" ").decode("utf-8", "replace").split()
    return "".join(c for c in " ".join(words) if c.isprintable())[:_LONGEST]


def merge_facts(measured: Mapping[str, str], described: Mapping[str, str]) -> dict[str, str]:
    """The measured facts; the described ones where a measurement is missing or unknown."""
    return {**described, **{n: text for n, text in measured.items() if text != "unknown" or n not in described}}
