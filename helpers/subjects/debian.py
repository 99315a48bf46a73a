# SPDX-License-Identifier: GPL-2.0-only
"""Debian's arm64 kernel of any suite: fetched, verified, unpacked, kept.

CACHE/debian/SUITE/MIRROR/ holds the private apt root, one folder per kernel, and ``current.json``, which
names the one to use and when the mirror was last asked.
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

_META = "linux-image-cloud-arm64"
"""The smallest of Debian's arm64 kernels for machines as QEMU has them; KVM is on in all of them."""
_FRESH = 24 * 3600
"""Seconds for which a kernel is used without asking the mirror again."""
_RETRY = 600
"""Seconds before a mirror that did not answer is asked again, while there is a kernel to use."""
_KEEP = 7 * 86400
"""Seconds for which a replaced kernel stays, since a running session may still boot it."""
_WANTED = ("virtio_pci", "virtio_console")
_MODULE = re.compile(r"lib/modules/[^/]+/kernel/drivers/(?:virtio|char)/([^/]+)\.ko(\.xz|\.gz|\.zst)?$")
_IMAGE = re.compile(r"(?:^|/)boot/vmlinuz-[^/]+$|lib/modules/[^/]+/vmlinuz$")
_CONFIG = re.compile(r"(?:^|/)boot/config-[^/]+$|lib/modules/[^/]+/config$")
_BUILTIN = re.compile(r"lib/modules/[^/]+/modules\.builtin$")
_METHODS = {".xz": "xz", ".gz": "gzip", ".zst": "zstd"}
_SUITE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class SuiteKernel:
    """A suite's kernel: the raw image, the modules for virtio in load order, package and version."""

    image: Path
    modules: tuple[Path, ...]
    origin: str

    @property
    def config(self) -> Path:
        """Its configuration, as the package has it."""
        return self.image.parent / "config"


@dataclass(frozen=True)
class _Content:
    """What is taken from the packages; modules by name, unpacked."""

    image: bytes
    config: bytes
    builtin: frozenset[str]
    modules: Mapping[str, bytes]


def kernel_of_suite(suite: str, *, cache: Path, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    """Return the newest cloud kernel of SUITE, from CACHE while it is less than a day old."""
    if not _SUITE.fullmatch(suite):
        what = f"{suite!r} is not the name of a Debian suite"
        raise UsageError(what, cure="Give debian:SUITE, such as debian:stable or debian:trixie-backports")
    home = cache / "debian" / suite / mirror_key(mirror)
    kept = _current(home, within=_FRESH)
    if kept:
        return kept
    try:
        with _locked(home, suite, progress):
            # Another session may have fetched it while this one waited.
            return _current(home, within=_FRESH) or _refresh(home, suite, mirror, progress)
    except OSError as error:
        what = f"The kernel cache {home} cannot be written"
        why = error.strerror or str(error)
        raise HarnessError(what, why=why, cure="Make room there or name another cache folder") from None


def mirror_key(mirror: str | None) -> str:
    """The folder for MIRROR, so that versions of two mirrors never mix.

    The default is not looked up: asking apt costs more than a warm cache may.
    """
    return hashlib.sha256(mirror.rstrip("/").encode()).hexdigest()[:8] if mirror else "default"


def _refresh(home: Path, suite: str, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    """Ask the mirror; when it does not answer, use the kernel at hand and say so."""
    old = _current(home, within=None)
    if not old:
        return _fetch(home, suite, mirror, progress)
    if _tried_lately(home):
        progress(f"using the kept kernel of debian:{suite}, {old.origin}: its mirror failed a moment ago")
        return old
    try:
        return _fetch(home, suite, mirror, progress)
    except HarnessError as error:
        (home / "failed").touch()
        progress(f"using the kept kernel of debian:{suite}, {old.origin}: {error}")
        return old


def _fetch(home: Path, suite: str, mirror: str | None, progress: Callable[[str], None]) -> SuiteKernel:
    check_tools()
    apt = Apt(home / "apt", suite, choose_mirror(mirror))
    apt.prepare()
    progress(f"asking {apt.mirror} for the kernel of debian:{suite}")
    warning = apt.update()
    if warning:
        progress(warning)
    package, version = _newest(apt)
    folder = home / f"{package}_{version}"
    if not (folder / "Image").exists():
        progress(f"fetching {package} {version}")
        _install(apt, package, version, folder)
    _point_to(home, folder, f"{package} {version}")
    _forget_older(home, folder)
    apt.tidy()
    kernel = _current(home, within=None)
    if kernel is None:
        raise HarnessError(f"The kernel in {folder} is incomplete", cure=f"Remove {folder} and try again")
    return kernel


def _newest(apt: Apt) -> tuple[str, str]:
    """The package that the signed metapackage depends on, and its version."""
    depends = _depends(apt.show(_META))
    for name in depends:
        if re.match(r"linux-image-\d", name):
            version = apt.show(name).get("Version", "")
            if version:
                return name, version
    cure = "Give a suite that has kernels, such as debian:stable"
    raise UsageError(f"Debian's suite {apt.suite!r} has no arm64 cloud kernel ({_META})", cure=cure)


def _depends(fields: Mapping[str, str]) -> list[str]:
    return [part.split()[0] for part in fields.get("Depends", "").split(",") if part.strip()]


def _install(apt: Apt, package: str, version: str, folder: Path) -> None:
    """Fetch and unpack into a temporary folder, which becomes FOLDER only when complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="tmp-") as name:
        work = Path(name)
        content = _contents(apt, package, version, work)
        made = work / "kernel"
        _write(content, _load_order(content, package), made)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)


def _contents(apt: Apt, package: str, version: str, work: Path) -> _Content:
    """Since 7.x the image and the list of what is built in are in packages of their own, modules in a third.

    That third is 18 MB and fetched only when virtio is not built in.
    """
    release = package.removeprefix("linux-image-")
    parts = [name for name in _depends(apt.show(package)) if name.endswith(f"-{release}")]
    first = [package, *(name for name in parts if not name.startswith("linux-modules-"))]
    files = _extract(apt.download(dict.fromkeys(first, version), work))
    content = _sort(files, package)
    rest = [name for name in parts if name not in first]
    if rest and not content.builtin.issuperset(_WANTED):
        files |= _extract(apt.download(dict.fromkeys(rest, version), work))
        content = _sort(files, package)
    return content


def _extract(packages: list[Path]) -> dict[str, bytes]:
    """The few files of interest in PACKAGES, by their paths."""
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
    picked: dict[str, bytes] = {}
    for member in archive:
        if not member.isfile():
            continue
        if any(pattern.search(member.name) for pattern in (_IMAGE, _CONFIG, _BUILTIN, _MODULE)):
            file = archive.extractfile(member)
            picked[member.name] = file.read() if file else b""
    return picked


def _sort(files: Mapping[str, bytes], package: str) -> _Content:
    image = next((data for name, data in files.items() if _IMAGE.search(name)), b"")
    if not image:
        what = f"The package {package} has no kernel image where Debian's have it"
        raise HarnessError(what, cure="Unpack the package and give its vmlinuz as a file")
    config = next((data for name, data in files.items() if _CONFIG.search(name)), b"")
    builtin = next((data for name, data in files.items() if _BUILTIN.search(name)), b"")
    names = frozenset(_module_name(Path(line).stem) for line in builtin.decode().split())
    modules: dict[str, bytes] = {}
    for name, data in files.items():
        match = _MODULE.search(name)
        if match:
            unpacked = images.decompress(_METHODS[match[2]], data) if match[2] else data
            modules[_module_name(match[1])] = unpacked
    return _Content(images.unpack_image(image, Path(package)), config, names, modules)


def _module_name(name: str) -> str:
    """The kernel takes - and _ for the same in module names."""
    return name.replace("-", "_")


def _load_order(content: _Content, package: str) -> list[str]:
    """The wanted modules after what they need, which each one's own .modinfo section tells."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or (name in content.builtin and name not in content.modules):
            return
        if name not in content.modules:
            what = f"The kernel {package} has no module {name}, which the suite talks through"
            cure = "Give another suite, or as a file a kernel with CONFIG_VIRTIO_CONSOLE=y"
            raise HarnessError(what, cure=cure)
        for needed in module_depends(content.modules[name]):
            add(needed)
        order.append(name)

    for name in _WANTED:
        add(name)
    return order


def module_depends(module: bytes) -> list[str]:
    """The names of the modules that MODULE (an unpacked .ko file) needs, as its .modinfo tells."""
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
    """The kernel at hand, if the mirror was asked WITHIN so many seconds (None: whenever) and it is whole."""
    try:
        known = json.loads((home / "current.json").read_text())
        folder = home / known["folder"]
        names = (folder / "order").read_text().split()
        kernel = SuiteKernel(
            folder / "Image", tuple(folder / "modules" / f"{name}.ko" for name in names), known["origin"]
        )
        age = time.time() - known["checked"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = all(file.is_file() for file in (kernel.image, *kernel.modules))
    # A date in the future is no reason to trust the cache for ever.
    return kernel if whole and (within is None or 0 <= age < within) else None


def _tried_lately(home: Path) -> bool:
    try:
        return 0 <= time.time() - (home / "failed").stat().st_mtime < _RETRY
    except OSError:
        return False


def _forget_older(home: Path, keep: Path) -> None:
    for folder in home.glob("linux-image-*"):
        if folder != keep and time.time() - folder.stat().st_mtime > _KEEP:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(home: Path, suite: str, progress: Callable[[str], None]) -> Iterator[None]:
    """One session at a time fetches; the lock goes with its process, however that ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another session that fetches debian:{suite}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
