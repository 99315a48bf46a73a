# SPDX-License-Identifier: GPL-2.0-only
"""Fetches, verifies, unpacks and caches Debian's arm64 kernel of any suite.

CACHE/debian/SUITE/MIRROR/, or MIRROR-FLAVOUR/, holds the private apt root, one folder per kernel, and
``current.json``: the kernel to use and the time of the last check of the mirror.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError, UsageError
from helpers.subjects import images
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.decompression import decompress

_CLOUD = "cloud"
"""The default flavour: Debian's smallest arm64 kernel for QEMU's machines. It has KVM."""
_METAPACKAGES = ("linux-image-{}", "linux-image-arm64-{}", "linux-image-{}-arm64")
"""The names of a flavour's metapackage: linux-image-arm64, -arm64-16k, -rt-arm64, -cloud-arm64."""
_FRESH = 24 * 3600
"""Seconds after a check during which the mirror is not checked again."""
_RETRY = 600
"""Seconds after a failed check during which a cached kernel is used without another check."""
_KEEP = 7 * 86400
"""Seconds for which a replaced kernel is kept, because a running session may still boot it."""
_MODULES = ("virtio_pci", "virtio_console")
_MODULE = re.compile(r"lib/modules/[^/]+/kernel/drivers/(?:virtio|char)/([^/]+)\.ko(\.xz|\.gz|\.zst)?$")
_IMAGE = re.compile(r"(?:^|/)boot/vmlinuz-[^/]+$|lib/modules/[^/]+/vmlinuz$")
_CONFIG = re.compile(r"(?:^|/)boot/config-[^/]+$|lib/modules/[^/]+/config$")
_BUILTIN = re.compile(r"lib/modules/[^/]+/modules\.builtin$")
_METHODS = {".xz": "xz", ".gz": "gzip", ".zst": "zstd"}
_SUITE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class SuiteKernel:
    """A suite's kernel: the raw image, the virtio modules in load order, package and version."""

    image: Path
    modules: tuple[Path, ...]
    origin: str

    @property
    def config(self) -> Path:
        """The package's configuration file."""
        return self.image.parent / "config"


@dataclass(frozen=True)
class _Content:
    """The files that are used from the packages. ``modules`` maps names to unpacked modules."""

    image: bytes
    config: bytes
    builtin: frozenset[str]
    modules: Mapping[str, bytes]


def kernel_of_suite(name: str, *, cache: Path, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    """Return the newest kernel of NAME, SUITE or SUITE/FLAVOUR, from CACHE if the mirror was checked within a day."""
    suite, slash, flavour = name.partition("/")
    if not _SUITE.fullmatch(suite) or (slash and not _SUITE.fullmatch(flavour)):
        what = f"{name!r} is not the name of a Debian suite"
        cure = "Give debian:SUITE or debian:SUITE/FLAVOUR, such as debian:trixie-backports or debian:stable/16k"
        raise UsageError(what, cure=cure)
    home = _home(name, cache, mirror)
    cached = _current(home, within=_FRESH)
    if cached:
        return cached
    try:
        home.mkdir(parents=True, exist_ok=True)
        waiting = f"waiting for another session that fetches debian:{name}"
        with locked_file(home / "lock", lambda: progress(waiting)):
            # Another session may have fetched it while this one waited.
            return _current(home, within=_FRESH) or _refresh(home, name, mirror, progress)
    except OSError as error:
        what = f"The kernel cache {home} cannot be written"
        cure = "Make room there or name another folder in XDG_CACHE_HOME"
        raise HarnessError(what, why=error.strerror or str(error), cure=cure) from None


def kept_kernel(name: str, *, cache: Path, mirror: str | None) -> SuiteKernel | None:
    """The cached kernel of NAME, which a run uses if the mirror cannot be reached; None if there is none."""
    return _current(_home(name, cache, mirror), within=None)


def _home(name: str, cache: Path, mirror: str | None) -> Path:
    suite, _, flavour = name.partition("/")
    return cache / "debian" / suite / "-".join(filter(None, (mirror_key(mirror), flavour)))


def mirror_key(mirror: str | None) -> str:
    """The name of the folder for MIRROR. Each mirror has its own, because mirrors may have different versions.

    The default mirror is not resolved to an address, because apt would slow down a start with a cached kernel.
    """
    return hashlib.sha256(mirror.rstrip("/").encode()).hexdigest()[:8] if mirror else "default"


def _refresh(home: Path, name: str, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    """Fetch the newest kernel. If the mirror fails, use the cached one and report that."""
    old = _current(home, within=None)
    if not old:
        return _fetch(home, name, mirror, progress)
    if _failed_recently(home):
        progress(f"using the cached kernel of debian:{name}, {old.origin}: its mirror failed recently")
        return old
    try:
        return _fetch(home, name, mirror, progress)
    except HarnessError as error:
        (home / "failed").touch()
        progress(f"using the cached kernel of debian:{name}, {old.origin}: {error}")
        return old


def _fetch(home: Path, name: str, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    check_tools()
    suite, _, flavour = name.partition("/")
    apt = Apt(home / "apt", suite, choose_mirror(mirror))
    apt.prepare()
    progress(f"checking {apt.mirror} for the kernel of debian:{name}")
    warning = apt.update()
    if warning:
        progress(warning)
    package, version = _newest(apt, flavour or _CLOUD)
    folder = home / f"{package}_{version}"
    if not (folder / "Image").exists():
        progress(f"fetching {package} {version}")
        _install(apt, package, version, folder)
    _point_to(home, folder, f"{package} {version}")
    _remove_older(home, folder)
    apt.tidy()
    kernel = _current(home, within=None)
    if kernel is None:
        raise HarnessError(f"The kernel in {folder} is incomplete", cure=f"Remove {folder} and try again")
    return kernel


def _newest(apt: Apt, flavour: str) -> tuple[str, str]:
    """The package that the flavour's signed metapackage depends on, and its version."""
    for metapackage in _METAPACKAGES:
        for name in _depends(apt.show(metapackage.format(flavour))):
            version = apt.show(name).get("Version", "") if re.match(r"linux-image-\d", name) else ""
            if version:
                return name, version
    cure = (
        "Give a suite that has kernels, such as debian:stable, or another flavour: cloud (the default), arm64, rt, 16k"
    )
    raise UsageError(f"Debian's suite {apt.suite!r} has no arm64 kernel of the flavour {flavour!r}", cure=cure)


def _depends(fields: Mapping[str, str]) -> list[str]:
    return [part.split()[0] for part in fields.get("Depends", "").split(",") if part.strip()]


def _install(apt: Apt, package: str, version: str, folder: Path) -> None:
    """Fetch and unpack into a temporary folder; rename it to FOLDER when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="tmp-") as name:
        work = Path(name)
        content = _contents(apt, package, version, work)
        _write(content, _load_order(content, package), work / "kernel")
        if folder.exists():
            shutil.rmtree(folder)
        (work / "kernel").rename(folder)


def _contents(apt: Apt, package: str, version: str, work: Path) -> _Content:
    """Download the packages and extract the files.

    Since 7.x, the image, modules.builtin and the modules are in three packages. The third has 18 MB and is fetched only
    if virtio is not built in.
    """
    release = package.removeprefix("linux-image-")
    parts = [name for name in _depends(apt.show(package)) if name.endswith(f"-{release}")]
    first = [package, *(name for name in parts if not name.startswith("linux-modules-"))]
    files = _extract(apt.download(dict.fromkeys(first, version), work))
    content = _sort(files, package)
    rest = [name for name in parts if name not in first]
    if rest and not content.builtin.issuperset(_MODULES):
        files |= _extract(apt.download(dict.fromkeys(rest, version), work))
        content = _sort(files, package)
    return content


def _extract(packages: list[Path]) -> dict[str, bytes]:
    """The image, configuration, modules.builtin and virtio modules in PACKAGES, by path."""
    files: dict[str, bytes] = {}
    for package in packages:
        command = ("dpkg-deb", "--fsys-tarfile", str(package))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker:
            assert unpacker.stdout is not None
            try:
                with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                    files |= _pick(archive)
            except (tarfile.TarError, EOFError) as error:
                what = f"The package {package.name} cannot be unpacked"
                raise HarnessError(what, why=str(error), cure="Try again") from None
    return files


def _pick(archive: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for member in archive:
        if any(pattern.search(member.name) for pattern in (_IMAGE, _CONFIG, _BUILTIN, _MODULE)) and member.isfile():
            file = archive.extractfile(member)
            files[member.name] = file.read() if file else b""
    return files


def _sort(files: Mapping[str, bytes], package: str) -> _Content:
    image, config, builtin = (
        next((data for name, data in files.items() if pattern.search(name)), b"")
        for pattern in (_IMAGE, _CONFIG, _BUILTIN)
    )
    if not image:
        what = f"The package {package} has no kernel image at /boot or /lib/modules"
        raise HarnessError(what, cure="Unpack the package and give its vmlinuz as a file")
    names = frozenset(_module_name(Path(line).stem) for line in builtin.decode().split())
    modules: dict[str, bytes] = {}
    for name, data in files.items():
        if match := _MODULE.search(name):
            modules[_module_name(match[1])] = decompress(_METHODS[match[2]], data) if match[2] else data
    return _Content(images.unpack_image(image, Path(package)), config, names, modules)


def _module_name(name: str) -> str:
    """The module's name with _ instead of -, because the kernel treats both as equal."""
    return name.replace("-", "_")


def _load_order(content: _Content, package: str) -> list[str]:
    """_MODULES, each after the modules in the ``depends`` of its .modinfo section."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or (name in content.builtin and name not in content.modules):
            return
        if name not in content.modules:
            what = f"The kernel {package} has no module {name}, which the connection to the executor needs"
            cure = "Give another suite, or the file of a kernel with CONFIG_VIRTIO_CONSOLE=y"
            raise HarnessError(what, cure=cure)
        for dependency in module_depends(content.modules[name]):
            add(dependency)
        order.append(name)

    for name in _MODULES:
        add(name)
    return order


def module_depends(module: bytes) -> list[str]:
    """The names in ``depends`` of the .modinfo section of MODULE, an unpacked .ko file."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [_module_name(name) for name in match[1].decode().split(",") if name] if match else []


def _write(content: _Content, order: list[str], folder: Path) -> None:
    (folder / "modules").mkdir(parents=True)
    (folder / "Image").write_bytes(content.image)
    (folder / "config").write_bytes(content.config)
    (folder / "order").write_text("".join(f"{name}\n" for name in order))
    for name in order:
        (folder / "modules" / f"{name}.ko").write_bytes(content.modules[name])


def _point_to(home: Path, folder: Path, origin: str) -> None:
    temporary = home / "current.json.new"
    temporary.write_text(json.dumps({"folder": folder.name, "origin": origin, "checked": time.time()}))
    os.replace(temporary, home / "current.json")
    (home / "failed").unlink(missing_ok=True)


def _current(home: Path, *, within: float | None) -> SuiteKernel | None:
    """The cached kernel, if it is complete and the mirror was checked WITHIN so many seconds (None: at any time)."""
    try:
        state = json.loads((home / "current.json").read_text())
        folder = home / state["folder"]
        names = (folder / "order").read_text().split()
        modules = tuple(folder / "modules" / f"{name}.ko" for name in names)
        kernel = SuiteKernel(folder / "Image", modules, state["origin"])
        age = time.time() - state["checked"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    complete = all(file.is_file() for file in (kernel.image, *modules))
    # A negative age means that the clock was wrong: check the mirror.
    return kernel if complete and (within is None or 0 <= age < within) else None


def _failed_recently(home: Path) -> bool:
    try:
        return 0 <= time.time() - (home / "failed").stat().st_mtime < _RETRY
    except OSError:
        return False


def _remove_older(home: Path, keep: Path) -> None:
    for folder in home.glob("linux-image-*"):
        if folder != keep and time.time() - folder.stat().st_mtime > _KEEP:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked_file(path: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Holds the lock PATH; calls WAITS if another session holds it. The lock of a process that dies is released."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
