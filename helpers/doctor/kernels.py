# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the requirements for ``debian:SUITE`` kernels: the cache, the tools and keys for packages, the mirror."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.doctor.diagnosis import Diagnosis, as_warning, diagnose, good, install, missing, warning
from helpers.subjects.apt import KEYRING, MIRROR_OPTION, Apt, check_tools, choose_mirror
from helpers.subjects.choose import CACHE, DEFAULT_KERNEL, cache_directory
from helpers.subjects.debian import SuiteKernel, kept_kernel
from helpers.subjects.kernels import DEBIAN
from helpers.subjects.qemu import MEMORY_MB

SUITE = DEFAULT_KERNEL.removeprefix(DEBIAN)
NETWORK_SECONDS = 5.0
"""The timeout of the whole check of the mirror, in seconds."""
KERNEL_MB = 200
"""Free space in MB for fetching a Debian kernel: apt's index and caches, the package, the unpacked kernel."""
MODULE_MB = 400
"""Free space in MB for --dialect-host, --plant and prove: headers and compiler, and their packages."""

_OTHER_FOLDER = "export XDG_CACHE_HOME=FOLDER, where FOLDER can be written and has room"


def kernel_sources(mirror: str | None) -> Iterator[Diagnosis]:
    """The cache, and the means to fetch kernels. A cached kernel needs no network."""
    folder = diagnose("kernel cache", lambda: str(cache_directory()), _OTHER_FOLDER)
    if folder.is_missing:
        yield folder
        return
    path = Path(folder.detail)
    kernel = kept_kernel(SUITE, cache=path, mirror=mirror)
    space = _space(folder.name, path)
    yield as_warning(space) if kernel else space
    yield _kept(kernel)
    tools = _tools()
    yield as_warning(tools) if kernel else tools
    if not tools.is_missing:
        yield as_warning(_mirror(mirror)) if kernel else _mirror(mirror)


def _space(name: str, path: Path) -> Diagnosis:
    free = shutil.disk_usage(path).free >> 20
    detail = f"{path}, {free} MB free"
    if free < KERNEL_MB:
        return missing(name, f"{detail}; fetching a kernel takes {KERNEL_MB} MB", _OTHER_FOLDER)
    if free < MODULE_MB:
        return warning(name, f"{detail}; building the module of prove takes {MODULE_MB} MB", _OTHER_FOLDER)
    if path.name != CACHE:
        detail += "; this is a temporary folder, because the usual one cannot be written"
        return warning(name, detail, _OTHER_FOLDER)
    return good(name, detail)


def _kept(kernel: SuiteKernel | None) -> Diagnosis:
    name = f"kernel {DEFAULT_KERNEL}"
    return good(name, f"in the cache: {kernel.origin}" if kernel else "not in the cache yet: the first run fetches it")


def _tools() -> Diagnosis:
    def fact() -> str:
        check_tools()
        return f"apt, dpkg, {KEYRING}"

    cure = "" if shutil.which("apt-get") is None else install(("apt", "dpkg", "debian-archive-keyring"))
    return diagnose("Debian packages", fact, cure)


def _mirror(mirror: str | None) -> Diagnosis:
    def fact() -> str:
        with tempfile.TemporaryDirectory(prefix="kvm-hvc-doctor-") as name:
            apt = Apt(Path(name), SUITE, choose_mirror(mirror))
            apt.prepare()
            apt.reach(NETWORK_SECONDS)
        return f"{apt.mirror} answers"

    return diagnose("Debian mirror", fact, f"check the network and proxy, or give {MIRROR_OPTION} URL")


def memory(file: Path = Path("/proc/meminfo")) -> Diagnosis:
    """Available memory, for the VMs of kernels in QEMU."""
    name = "memory"
    try:
        fields = dict(line.split(":") for line in file.read_text().splitlines())
        available = int(fields["MemAvailable"].split()[0]) >> 10
    except (OSError, ValueError, KeyError) as error:
        return warning(name, f"{file} cannot be read: {error}")
    detail = f"{available} MB available; each worker's VM has {MEMORY_MB} MB"
    return good(name, detail) if available > MEMORY_MB else warning(name, detail, "make conformance JOBS=1")
