# SPDX-License-Identifier: GPL-2.0-only
"""Identifies files that are no arm64 Image, and names the command that extracts the Image from them.

Layouts: include/image.h of U-Boot (uImage), the Flattened Image Tree specification (FIT), bootimg.h of Android's
mkbootimg, the Microsoft PE format (UKI), elf(5), deb(5).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

GIVE_IMAGE = "Give arch/arm64/boot/Image of the kernel's build folder"
GIVE_KERNEL = "Give an arm64 Image, a compressed one (Image.gz), an EFI zboot file (vmlinuz.efi) or debian:SUITE"
PROBE = 4096
"""Bytes at the beginning of a file by which it is identified."""
PE_AT = 0x3C
"""Offset of the field in the MS-DOS header with the offset of the PE header."""
_ELF_ARM64 = 183
_ELF_PROGRAMS = (2, 3)
_PE_ARM64 = 0xAA64
_UIMAGE_ARM64 = 22
_UIMAGE_KERNEL = 2
_UIMAGE_MULTI = 4
_UIMAGE_HEADER = 64
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|\?xml|!--)", re.IGNORECASE)


@dataclass(frozen=True)
class FileKind:
    """What a file is ("an x86 kernel, not an arm64 one"), and the next step. {file} in ``cure`` is the file's name."""

    name: str
    cure: str = GIVE_KERNEL


def _extracted(name: str, command: str) -> FileKind:
    return FileKind(name, f"Run `{command}` and give that Image")


_VMLINUX = "aarch64-linux-gnu-objcopy -O binary -R .note -R .note.gnu.build-id -R .comment -S {file} Image"
"""OBJCOPYFLAGS_Image of arch/arm64/boot/Makefile."""
_LZ4 = _extracted("compressed with lz4, which the suite does not unpack", "lz4 -d {file} Image")
_BY_MAGIC = (
    (0x202, b"HdrS", FileKind("an x86 kernel, not an arm64 one")),
    (0x24, b"\x18\x28\x6f\x01", FileKind("a 32-bit Arm kernel, not an arm64 one")),
    (56, b"RSC\x05", FileKind("a RISC-V kernel, not an arm64 one")),
    # The legacy frame, which the kernel's build makes with lz4 -l, and the current frame.
    (0, b"\x02\x21\x4c\x18", _LZ4),
    (0, b"\x04\x22\x4d\x18", _LZ4),
    (
        0,
        b"\x89LZO\0\r\n\x1a\n",
        _extracted("compressed with lzop, which the suite does not unpack", "lzop -dc {file} >Image"),
    ),
    (
        0,
        b"\xed\xab\xee\xdb",
        FileKind("an rpm package", "Run `rpm2cpio {file} | cpio -idm` and give lib/modules/*/vmlinuz"),
    ),
    (
        0,
        b"!<arch>\ndebian-binary",
        FileKind("a Debian package", "Run `dpkg-deb -x {file} unpacked` and give unpacked/boot/vmlinuz-*"),
    ),
    (
        257,
        b"ustar",
        FileKind("a tar archive", "Run `tar -xf {file}` and give the kernel in it, such as boot/vmlinuz-*"),
    ),
    (0, b"PK\x03\x04", FileKind("a zip archive", "Run `unzip {file}` and give the kernel in it")),
    (0, b"07070", FileKind("a cpio archive (an initramfs?)")),
    (
        0,
        b"version https://git-lfs",
        FileKind("a git-LFS pointer", "Run `git lfs pull` in the checkout of the file and try again"),
    ),
    (0, b"VNDRBOOT", FileKind("an Android vendor_boot.img, which contains no kernel", "Give its boot.img")),
)


def identify(head: bytes) -> FileKind | None:
    """Identify the file that begins with HEAD. Return None for an unknown one."""
    for offset, magic, kind in _BY_MAGIC:
        if head.startswith(magic, offset):
            return kind
    if _HTML.match(head):
        cure = "Read the file for the reason, and download the kernel itself with `curl -fL -o Image ADDRESS`"
        return FileKind("a web page (HTML or XML), not the download", cure)
    head = head.ljust(PROBE, b"\0")
    structured = {
        b"\x7fELF": _elf,
        b"\x27\x05\x19\x56": _uimage,
        b"\xd0\x0d\xfe\xed": _device_tree,
        b"ANDROID!": _android,
        b"MZ": _pe,
    }
    return next((identified(head) for magic, identified in structured.items() if head.startswith(magic)), None)


def pe_sections(head: bytes, at: int) -> tuple[int, list[bytes]]:
    """The end of the section table of the PE header at offset AT of HEAD, and the complete entries of the table."""
    count, optional = struct.unpack_from("<6xH12xH", head, at)
    first = at + 24 + optional
    entries = (head[first + 40 * number : first + 40 * number + 40] for number in range(count))
    return first + 40 * count, [entry for entry in entries if len(entry) == 40]


def _slice(offset: int, size: int) -> str:
    """A shell command that writes SIZE bytes from OFFSET on to the file Image."""
    return f"tail -c +{offset + 1} {{file}} | head -c {size} >Image"


def _elf(head: bytes) -> FileKind:
    kind, machine = struct.unpack_from("<HH", head, 16)
    if machine == _ELF_ARM64 and kind in _ELF_PROGRAMS:
        name = "an ELF file (vmlinux), which QEMU does not boot on arm64"
        return FileKind(name, f"{GIVE_IMAGE}, or run `{_VMLINUX}` and give that Image")
    return FileKind("an ELF file, but not an arm64 vmlinux", GIVE_IMAGE)


def _uimage(head: bytes) -> FileKind:
    (size,) = struct.unpack_from(">I", head, 12)
    architecture, kind = head[29], head[30]
    if architecture != _UIMAGE_ARM64:
        return FileKind("a U-Boot uImage of another architecture than arm64")
    if kind == _UIMAGE_KERNEL:
        return _extracted("a U-Boot uImage", _slice(_UIMAGE_HEADER, size))
    if kind == _UIMAGE_MULTI:
        return _extracted("a U-Boot uImage of several files", "dumpimage -T multi -p 0 -o Image {file}")
    return FileKind("a U-Boot uImage without a kernel")


def _device_tree(head: bytes) -> FileKind:
    # The node /images, at the beginning of a structure block. 1 is FDT_BEGIN_NODE.
    if b"\0\0\0\1images\0" in head:
        # In a FIT image from the kernel's build, the kernel is the first image. dumpimage -l lists the images.
        return _extracted("a FIT image", "dumpimage -T flat_dt -p 0 -o Image {file}")
    return FileKind("a device tree (DTB)")


def _android(head: bytes) -> FileKind:
    (size,), page, version = struct.unpack_from("<I", head, 8), *struct.unpack_from("<II", head, 36)
    if version in (3, 4):
        page = 4096
    if not size:
        return FileKind("an Android boot image without a kernel (init_boot.img?)", "Give its boot.img")
    return _extracted("an Android boot.img", _slice(page, size))


def _pe(head: bytes) -> FileKind | None:
    (at,) = struct.unpack_from("<I", head, PE_AT)
    if at + 24 > len(head) or head[at : at + 4] != b"PE\0\0":
        return None
    (machine,) = struct.unpack_from("<H", head, at + 4)
    for entry in pe_sections(head, at)[1]:
        if entry.startswith(b".linux\0"):
            if machine != _PE_ARM64:
                return FileKind("a unified kernel image (UKI) of another architecture than arm64")
            virtual, raw, offset = struct.unpack_from("<I4xII", entry, 8)
            return _extracted("a unified kernel image (UKI)", _slice(offset, min(virtual, raw)))
    return FileKind("an EFI program (a boot loader?), not an arm64 kernel")
