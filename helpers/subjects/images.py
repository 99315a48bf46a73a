# SPDX-License-Identifier: GPL-2.0-only
"""Identifies a kernel file and unpacks it to the raw arm64 Image that QEMU boots.

Layouts: Documentation/arch/arm64/booting.rst (Image), drivers/firmware/efi/libstub/zboot-header.S (EFI
zboot).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import HarnessError, UsageError
from helpers.subjects.decompression import LARGEST, TooLarge, compression_of, decompress
from helpers.subjects.file_kinds import GIVE_IMAGE, GIVE_KERNEL, PE_AT, PROBE, identify, pe_sections

ARM64_MAGIC = b"ARM\x64"
ARM64_MAGIC_AT = 56
_ARM64_FLAGS_AT = 24
_BIG_ENDIAN = 1
_PAGE_SIZES = {1: 4, 2: 16, 3: 64}
"""KiB, by bits 1 and 2 of the flags."""
_SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_DEEPEST = 3
"""Layers of compression. An EFI zboot file in a compressed file has two."""
_DAY = 86400
_ZBOOT = "EFI zboot"
_COMMANDS = {"gzip": "gzip", "xz": "xz", "lzma": "xz", "bzip2": "bzip2", "zstd": "zstd"}


def bootable_image(path: Path, *, cache: Path) -> Path:
    """Return a file that QEMU's ``-kernel`` boots: PATH itself or its content unpacked into CACHE.

    Raises UsageError if PATH is not an arm64 kernel.
    """
    head = _read_head(path)
    if is_raw_image(head):
        refuse_big_endian(head, path)
        _refuse_cut_off(head, path.stat().st_size, path)
        return path
    if not _is_packed(head):
        raise _not_a_kernel(head, path)
    stored = _store_name(path, cache)
    if not stored.exists():
        _store(unpack_image(_read_whole(path), path), stored)
    return stored


def unpack_image(data: bytes, path: Path) -> bytes:
    """Return the raw Image inside DATA, the content of PATH (for errors)."""
    layers: list[str] = []
    while len(layers) <= _DEEPEST:
        if is_raw_image(data):
            refuse_big_endian(data, path)
            _refuse_cut_off(data[:PROBE], len(data), path)
            return data
        if name := compression_of(data):
            data = _inflate(name, data, path)
            layers.append(name)
        elif _is_zboot(data):
            data = _zboot_payload(data, path)
            layers.append(_ZBOOT)
        else:
            raise _not_a_kernel(data[:PROBE], path, layers)
    raise UsageError(f"The kernel {path} is compressed more than {_DEEPEST} times", cure=GIVE_KERNEL)


def is_raw_image(data: bytes) -> bool:
    """Whether DATA is the beginning of an arm64 Image."""
    return data[ARM64_MAGIC_AT : ARM64_MAGIC_AT + 4] == ARM64_MAGIC


def page_size(image: Path) -> int:
    """The page size (KiB) in the header of IMAGE, a raw arm64 Image; 0 if the header leaves it open.

    Raises UsageError if the file cannot be read.
    """
    (flags,) = struct.unpack_from("<Q", _read_head(image).ljust(PROBE, b"\0"), _ARM64_FLAGS_AT)
    return _PAGE_SIZES.get(flags >> 1 & 3, 0)


def refuse_big_endian(data: bytes, path: Path) -> None:
    """Raise UsageError for a big-endian kernel: the executor is a little-endian program."""
    (flags,) = struct.unpack_from("<Q", data, _ARM64_FLAGS_AT)
    if flags & _BIG_ENDIAN:
        raise UsageError(
            f"The kernel {path} is big-endian",
            why="the suite's programs are little-endian",
            cure="Build the kernel with CONFIG_CPU_LITTLE_ENDIAN=y",
        )


def _refuse_cut_off(head: bytes, size: int, path: Path) -> None:
    """Raise UsageError for an Image that ends before its sections: it would boot without printing anything."""
    expected = _size_of_sections(head)
    if expected > size:
        raise _cut_off(path, f"its header gives {expected} bytes, the Image has {size}")


def _size_of_sections(head: bytes) -> int:
    """The end of the last section of an Image with an EFI stub (arch/arm64/kernel/efi-header.S); 0 without one."""
    if head[:2] != b"MZ" or len(head) < PE_AT + 4:
        return 0
    (at,) = struct.unpack_from("<I", head, PE_AT)
    if at + 24 > len(head):
        return int(at) + 24
    if head[at : at + 4] != b"PE\0\0":
        return 0
    end, sections = pe_sections(head, at)
    return int(max([end, *(sum(struct.unpack_from("<II", section, 16)) for section in sections)]))


def _refuse_special(path: Path) -> None:
    """Raise UsageError for a pipe, socket or device: an open may block, and the file can be read only once."""
    mode = path.stat().st_mode
    kind = next((name for is_kind, name in _SPECIAL if is_kind(mode)), "")
    if kind:
        raise UsageError(
            f"The kernel {path} is {kind}, not a file",
            why="each worker and each boot reads the kernel again",
            cure="Write it to a file and give that, such as `zcat Image.gz >Image`; Image.gz itself is accepted too",
        )


def _read_head(path: Path) -> bytes:
    try:
        _refuse_special(path)
        with path.open("rb") as file:
            head = file.read(PROBE)
    except FileNotFoundError:
        cure = f"{GIVE_KERNEL} (such as debian:stable)"
        raise UsageError(f"There is no kernel file {path}", cure=cure) from None
    except IsADirectoryError:
        cure = GIVE_IMAGE if (path / "Kconfig").exists() or (path / ".config").exists() else GIVE_KERNEL
        raise UsageError(f"The kernel {path} is a directory, not a file", cure=cure) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if not head:
        raise UsageError(f"The kernel file {path} is empty", cure=f"Build or copy the kernel again. {GIVE_KERNEL}")
    return head


def _read_whole(path: Path) -> bytes:
    size = path.stat().st_size
    if size > LARGEST:
        why = f"it has {size >> 20} MiB; the largest compressed kernel that the suite unpacks has {LARGEST >> 20} MiB"
        raise UsageError(f"The kernel file {path} is too large", why=why, cure=GIVE_KERNEL)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _is_zboot(data: bytes) -> bool:
    return data[:2] == b"MZ" and data[4:8] == b"zimg"


def _is_packed(head: bytes) -> bool:
    return bool(compression_of(head)) or _is_zboot(head)


def _zboot_payload(data: bytes, path: Path) -> bytes:
    if len(data) < 56:
        raise _cut_off(path, "its EFI zboot header is incomplete")
    offset, size = struct.unpack_from("<II", data, 8)
    if offset + size > len(data):
        raise _cut_off(path, f"its zboot header gives {offset + size} bytes, the file has {len(data)}")
    name = data[24:56].split(b"\0")[0].decode("ascii", "replace")
    # The data is not cut at offset + size, because the decompressor finds the end of the stream.
    return _inflate(name, data[offset:], path)


def _inflate(name: str, data: bytes, path: Path) -> bytes:
    try:
        return decompress(name, data)
    except KeyError:
        what = f"The kernel {path} is an EFI zboot file packed with {name!r}, which the suite cannot unpack"
        raise UsageError(what, cure=GIVE_IMAGE) from None
    except ImportError:
        what = f"The kernel {path} is packed with zstd and the Python package zstandard is missing"
        raise HarnessError(what, cure="Run make setup") from None
    except TooLarge as error:
        raise UsageError(f"The kernel file {path} is too large", why=str(error), cure=GIVE_KERNEL) from None
    except ValueError as error:
        raise _cut_off(path, f"its {name} data cannot be unpacked: {error}") from None


def _unreadable(path: Path, error: OSError) -> UsageError:
    cure = "Make the file readable for this user, or copy it"
    return UsageError(f"The kernel {path} cannot be read", why=error.strerror or str(error), cure=cure)


def _cut_off(path: Path, why: str) -> UsageError:
    what = f"The kernel file {path} is damaged or was cut off"
    return UsageError(what, why=why, cure="Build or copy the kernel again")


def _not_a_kernel(head: bytes, path: Path, layers: Sequence[str] = ()) -> UsageError:
    """The error for a file that, after LAYERS of compression, begins with HEAD."""
    unpacked = f", unpacked with {' and '.join(layers)}," if layers else ""
    kind = identify(head)
    if not head:
        return UsageError(f"The kernel {path}{unpacked} is empty", cure=GIVE_KERNEL)
    if not kind:
        return UsageError(f"The file {path}{unpacked} is not an arm64 kernel", cure=GIVE_KERNEL)
    file = shlex.quote(str(path))
    if not layers:
        return UsageError(f"The kernel {path} is {kind.name}", cure=kind.cure.format(file=file))
    cure = kind.cure.format(file="UNPACKED")
    if _ZBOOT in layers:
        cure = GIVE_KERNEL
    elif "UNPACKED" in cure:
        first, *others = (f"{_COMMANDS[layer]} -dc" for layer in layers)
        pipeline = " | ".join([f"{first} <{file}", *others])
        cure = f"Run `{pipeline} >UNPACKED`. {cure}"
    return UsageError(f"The kernel {path}{unpacked} is {kind.name}", cure=cure)


def _store_name(path: Path, cache: Path) -> Path:
    """A name that changes if the file changes. The file is not read: a start with a warm cache must be fast."""
    status = path.stat()
    folder = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return cache / "images" / folder / f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}.Image"


def _store(image: bytes, target: Path) -> None:
    """Write atomically, so that other sessions that share the cache find a complete file or none."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_older(target.parent)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(image)
        os.replace(file.name, target)
    except OSError as error:
        what = f"The unpacked kernel cannot be written to the cache {target.parent}"
        cure = "Make room there or name another folder in XDG_CACHE_HOME"
        raise HarnessError(what, why=error.strerror or str(error), cure=cure) from None


def _remove_older(folder: Path) -> None:
    """Remove earlier builds of the same file, except those that a running session may still boot."""
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > _DAY:
            old.unlink(missing_ok=True)
