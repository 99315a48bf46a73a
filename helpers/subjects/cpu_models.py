# SPDX-License-Identifier: GPL-2.0-only
"""Chooses QEMU's CPU model for a kernel. The model must support the kernel's page size.

On a CPU without its page size, a kernel stops before its first message. Sources: Documentation/arch/arm64/booting.rst
(flags of the Image header), Arm ARM (ID_AA64MMFR0_EL1, TGran4, TGran64, TGran16).
"""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError, UsageError
from helpers.subjects.images import page_size

MODELS = ("max,pauth=off,lpa2=off", "max,pauth=off")
"""In order of preference. They have SVE, a PMU and VHE, and in QEMU 7.0 and later pages of 4K, 16K and 64K.

They have no pointer authentication, because its emulation is slow, and no LPA2 (in QEMU since 7.0), because Linux
before 5.12 does not boot with it.
"""
MACHINE = "virt,virtualization=on,gic-version=3,its=off"
"""Without an ITS the wire's interrupts are SPIs. QEMU reads the whole table of pending LPIs after each LPI, which takes
a third of a round trip. KVM's emulated ITS does not need one.
"""
_PROBE_SECONDS = 20
"""Timeout of the probe in seconds. The probe takes 0.05 s, but never ends on a 32-bit CPU."""
_PROBE = (
    0xD5380700,  # mrs x0, id_aa64mmfr0_el1
    0x52A12001,  # mov w1, #0x9000000: the data register of the virt machine's PL011
    0xB9000020,  # str w0, [x1]
    0xD348FC00,  # lsr x0, x0, #8
    0xB5FFFFC0,  # cbnz x0, the str
    0xD2800100,  # mov x0, #8
    0xF2B08000,  # movk x0, #0x8400, lsl #16: PSCI SYSTEM_OFF
    0xD4000003,  # smc #0
)


@dataclass(frozen=True)
class CpuModel:
    """A value of QEMU's -cpu, and why it was chosen."""

    name: str
    reason: str


@dataclass(frozen=True)
class _Granules:
    """The page sizes (KiB) of a CPU model. ``error`` is the reason if the model cannot be used."""

    sizes: frozenset[int] = frozenset()
    error: str = ""


def choose_cpu(qemu: str, image: Path, requested: str) -> CpuModel:
    """The model for the kernel IMAGE: REQUESTED, or a default if that is empty.

    Raises UsageError if the model REQUESTED does not exist or does not have the page size of the Image, HarnessError if
    no default has it.
    """
    size = page_size(image)
    pages = f"an Image with {size}K pages" if size else "an Image without a page size in its header"
    if requested:
        _check(requested, _granules(qemu, requested), size, image)
        return CpuModel(requested, "--cpu")
    for name in MODELS:
        if _has(_granules(qemu, name), size):
            return CpuModel(name, f"the default for {pages}")
    why = _granules(qemu, MODELS[-1]).error or f"its CPU models {' and '.join(MODELS)} do not have that page size"
    cure = "Install QEMU 7.0 or later, or name a CPU model that has it with --cpu"
    raise HarnessError(f"{qemu} cannot boot {pages}, {image}", why=why, cure=cure)


def default_page_sizes(qemu: str) -> frozenset[int]:
    """The page sizes (KiB) of the default CPU models on the machine with EL2. Raises HarnessError."""
    models = [_granules(qemu, name) for name in MODELS]
    sizes = frozenset[int]().union(*(each.sizes for each in models))
    if not sizes:
        why, cure = models[-1].error, "Install QEMU 7.0 or later"
        raise HarnessError(f"{qemu} does not start the machine {MACHINE}", why=why, cure=cure)
    return sizes


def _has(granules: _Granules, size: int) -> bool:
    return not granules.error and (not size or size in granules.sizes)


def _check(name: str, granules: _Granules, size: int, image: Path) -> None:
    if granules.error:
        cure = "Choose one that `qemu-system-aarch64 -cpu help` lists, or omit --cpu"
        raise UsageError(f"QEMU does not start with --cpu={name}", why=granules.error, cure=cure)
    if not _has(granules, size):
        sizes = " and ".join(f"{each}K" for each in sorted(granules.sizes))
        why = f"the Image {image} is built for {size}K pages; QEMU's {name} has {sizes} pages"
        raise UsageError(f"The kernel cannot boot with --cpu={name}", why=why, cure="Omit --cpu, or give --cpu=max")


@functools.cache
def _granules(qemu: str, name: str) -> _Granules:
    """Starts a program that prints ID_AA64MMFR0_EL1 on a machine with the model NAME."""
    with tempfile.NamedTemporaryFile(prefix="kvm-hvc-probe-") as program:
        program.write(struct.pack(f"<{len(_PROBE)}I", *_PROBE))
        program.flush()
        machine = ("-M", MACHINE, "-cpu", name, "-m", "64", "-kernel", program.name, "-serial", "stdio")
        command = (qemu, *machine, "-nodefaults", "-no-user-config", "-nic", "none", "-display", "none", "-no-reboot")
        return _run(command)


def _run(command: Sequence[str]) -> _Granules:
    try:
        process = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _Granules(error="it does not run a 64-bit program")
    except OSError as error:
        return _Granules(error=error.strerror or str(error))
    if process.returncode or not process.stdout:
        message = process.stderr.decode(errors="replace").strip()[-500:]
        return _Granules(error=message or f"it ended with status {process.returncode}, without a message")
    return _Granules(_page_sizes(int.from_bytes(process.stdout, "little")))


def _page_sizes(mmfr0: int) -> frozenset[int]:
    """The page sizes (KiB) of stage 1 in ID_AA64MMFR0_EL1. 15 means none in TGran4 and TGran64, 0 in TGran16."""
    tgran4, tgran64, tgran16 = (mmfr0 >> shift & 15 for shift in (28, 24, 20))
    present = {4: tgran4 != 15, 16: tgran16 != 0, 64: tgran64 != 15}
    return frozenset(size for size, there in present.items() if there)
