# SPDX-License-Identifier: GPL-2.0-only
"""Files that --kernel refuses: the error names what they are, and the command that gets the Image."""

from __future__ import annotations

import gzip
import lzma
import re
import struct
import subprocess
from pathlib import Path

import pytest

from helpers.errors import UsageError
from tests.support.kernels import arm64_image, resolve, resolve_content, zboot


def at(offset: int, content: bytes, size: int = 4096) -> bytes:
    return (bytes(offset) + content).ljust(size, b"\0")


def uimage(payload: bytes, *, architecture: int = 22, kind: int = 2) -> bytes:
    """U-Boot's header and PAYLOAD, then padding."""
    head = struct.pack(">IIIIIIIBBBB32s", 0x27051956, 0, 0, len(payload), 0, 0, 0, 5, architecture, kind, 0, b"linux")
    return head + payload + bytes(99)


def boot_img(payload: bytes, *, version: int, page: int) -> bytes:
    """Android's boot.img. Its page size is 4096 from version 3 on."""
    fields = {8: len(payload), 36: page if version < 3 else 0, 40: version}
    head = bytearray(b"ANDROID!".ljust(page, b"\0"))
    for offset, value in fields.items():
        struct.pack_into("<I", head, offset, value)
    return bytes(head) + payload + bytes(99)


def uki(payload: bytes, *, machine: int = 0xAA64, section: bytes = b".linux") -> bytes:
    """A PE file with two sections, the second one with PAYLOAD and padding."""
    head = bytearray(b"MZ".ljust(1024, b"\0"))
    struct.pack_into("<I", head, 0x3C, 128)
    struct.pack_into("<4sHH12xHH", head, 128, b"PE\0\0", machine, 2, 160, 0x206)
    struct.pack_into("<8sIIII", head, 312, b".osrel", 10, 0, 512, 512)
    struct.pack_into("<8sIIII", head, 352, section, len(payload), 0, len(payload) + 99, 1024)
    return bytes(head) + payload + bytes(99)


def elf(kind: int, machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", kind, machine) + bytes(900)


FIT = struct.pack(">IIII", 0xD00DFEED, 4096, 56, 300) + bytes(80) + b"\0\0\0\1images\0\0" + bytes(900)
OTHER_FILES = {
    "vmlinux": (elf(2, 183), r"an ELF file \(vmlinux\).*`aarch64-linux-gnu-objcopy -O binary .*/kernel Image`"),
    "x86-vmlinux": (elf(2, 62), "but not an arm64 vmlinux"),
    "module": (elf(1, 183), "but not an arm64 vmlinux"),
    "lz4-legacy": (b"\x02\x21\x4c\x18" + bytes(99), "with lz4.*`lz4 -d .*/kernel Image`"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(99), "with lz4.*`lz4 -d .*/kernel Image`"),
    "lzo": (b"\x89LZO\0\r\n\x1a\n" + bytes(99), "with lzop.*`lzop -dc .*/kernel >Image`"),
    "rpm": (b"\xed\xab\xee\xdb\3\0" + bytes(99), r"an rpm package.*`rpm2cpio .*/kernel \| cpio -idm`"),
    "deb": (b"!<arch>\ndebian-binary   1410122664", "a Debian package.*`dpkg-deb -x .*/kernel unpacked`"),
    "tar": (at(257, b"ustar\0"), "a tar archive.*`tar -xf .*/kernel`"),
    "tar.xz": (lzma.compress(at(257, b"ustar\0")), "unpacked with xz, is a tar archive.*`xz -dc <.*/kernel >UNPACKED`"),
    "zip": (b"PK\3\4" + bytes(99), "a zip archive.*`unzip .*/kernel`"),
    "initramfs": (b"070701" + bytes(99), "a cpio archive"),
    "web-page": (b"\xef\xbb\xbf\n<!DOCTYPE html><title>404", "a web page.*`curl -fL -o Image ADDRESS`"),
    "xml-error": (b'<?xml version="1.0"?><Error>', "a web page"),
    "lfs": (b"version https://git-lfs.example/spec/v1\noid sha256:0", "a git-LFS pointer.*`git lfs pull`"),
    "uimage-arm": (uimage(arm64_image(), architecture=2), "a U-Boot uImage of another architecture"),
    "uimage-script": (uimage(b"echo", kind=6), "a U-Boot uImage without a kernel"),
    "uimage-multi": (uimage(arm64_image(), kind=4), "`dumpimage -T multi -p 0 -o Image .*/kernel`"),
    "fit": (FIT, "a FIT image.*`dumpimage -T flat_dt -p 0 -o Image .*/kernel`"),
    "dtb": (FIT.replace(b"images", b"memory"), "a device tree"),
    "init-boot": (boot_img(b"", version=4, page=4096), "without a kernel"),
    "vendor-boot": (b"VNDRBOOT" + bytes(4096), "vendor_boot.img, which contains no kernel"),
    "x86-uki": (uki(arm64_image(), machine=0x8664), r"\(UKI\) of another architecture"),
    "boot-loader": (uki(arm64_image(), section=b".data"), "an EFI program"),
    "gzip-of-nothing": (gzip.compress(b""), "unpacked with gzip, is empty"),
    "zboot-of-vmlinux": (zboot("gzip", gzip.compress(elf(2, 183))), "unpacked with EFI zboot, is an ELF file"),
}


@pytest.mark.parametrize(("data", "message"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_another_file_is_named_with_the_command_that_unpacks_it(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_content(tmp_path, data)
    assert caught.value.cure


WRAPPED = {
    "uimage": (uimage(arm64_image()), "a U-Boot uImage"),
    "uimage-gzip": (uimage(gzip.compress(arm64_image())), "a U-Boot uImage"),
    "boot-img-0": (boot_img(arm64_image(), version=0, page=2048), "an Android boot.img"),
    "boot-img-4": (boot_img(gzip.compress(arm64_image()), version=4, page=4096), "an Android boot.img"),
    "uki": (uki(zboot("gzip", gzip.compress(arm64_image()))), "a unified kernel image"),
    "xz-of-gzip-of-uimage": (
        lzma.compress(gzip.compress(uimage(arm64_image()))),
        "with xz and gzip, is a U-Boot uImage",
    ),
}


@pytest.mark.parametrize(("data", "message"), WRAPPED.values(), ids=WRAPPED)
def test_the_commands_in_the_error_extract_the_image(data: bytes, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        resolve_content(folder, data)
    for command in re.findall("`(.*?)`", caught.value.cure):
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    image = resolve(str(tmp_path / "Image"), tmp_path / "cache")[0].image
    assert image.read_bytes() == arm64_image()
