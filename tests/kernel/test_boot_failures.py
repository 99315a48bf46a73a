# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that lack what /init needs, booted for real: the error names it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import build
from helpers.errors import HarnessError
from helpers.identity import PLAIN, BootVariant
from helpers.subjects import choose
from helpers.subjects.kernels import Kernel, resolve_kernel
from helpers.subjects.qemu import Qemu
from helpers.subjects.remote import Remote


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    build.build_all()
    return resolve_kernel("debian:stable", cache=choose.cache_directory(), mirror=None, progress=print)


def start(kernel: Kernel, variant: BootVariant = PLAIN) -> int:
    """The number of starts, 1. Raises HarnessError."""
    subject = Remote(Qemu(kernel, build.INIT, variant=variant), lambda _: contextlib.nullcontext())
    try:
        subject.start()
        return subject.generation
    finally:
        subject.close()


@pytest.mark.parametrize(("name", "option"), [("sysfs", "CONFIG_SYSFS"), ("devtmpfs", "CONFIG_DEVTMPFS")])
def test_a_kernel_without_a_file_system(name: str, option: str, kernel: Kernel, tmp_path: Path) -> None:
    """The file system has another name in this kernel, so that mount(2) fails as where it is not built in."""
    image = kernel.image.read_bytes()
    # All strings that end so: the linker lets them share their bytes.
    (tmp_path / "Image").write_bytes(image.replace(f"{name}\0".encode(), f"{name[:-1]}_\0".encode()))
    with pytest.raises(HarnessError, match=f"cannot mount {name} on .*: No such device.*Build it with {option}=y"):
        start(replace(kernel, image=tmp_path / "Image"))


def test_a_kernel_that_ends_before_its_console_driver(kernel: Kernel) -> None:
    """Its page tables do not fit into 20 MiB. Without earlycon, nothing would be printed."""
    with pytest.raises(HarnessError, match="it panicked: Kernel panic"):
        start(kernel, BootVariant(arguments="mem=20M"))


def test_a_kernel_that_does_not_warn_at_boot(kernel: Kernel) -> None:
    """A warning of a driver for this CPU model would end each boot."""
    assert start(kernel, BootVariant(arguments="panic_on_warn=1")) == 1
