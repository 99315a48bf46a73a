# SPDX-License-Identifier: GPL-2.0-only
"""The files and suites that --kernel accepts and refuses. No test has a mirror."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from helpers.errors import HarnessError, UsageError
from helpers.subjects import apt, debian, decompression
from helpers.subjects.kernels import Kernel
from tests.support.kernels import arm64_image, resolve, resolve_content, zboot

NOWHERE = "file:///nonexistent/debian"


def efi_image() -> bytes:
    """An Image with an EFI stub, whose two sections end with the file."""
    image = bytearray(arm64_image(size=8192 - 64))
    struct.pack_into("<I", image, 0x3C, 64)
    struct.pack_into("<4sHH12xHH", image, 64, b"PE\0\0", 0xAA64, 2, 160, 0x206)
    for at, section in ((248, (4096, 0)), (288, (4096, 4096))):
        struct.pack_into("<8x8xII", image, at, *section)
    return bytes(image)


def test_a_raw_image_is_taken_as_it_is(tmp_path: Path) -> None:
    kernel = resolve_content(tmp_path, arm64_image())
    assert kernel == Kernel(str(tmp_path / "kernel"), tmp_path / "kernel", (), str(tmp_path / "kernel"))


def test_a_whole_image_with_an_efi_stub(tmp_path: Path) -> None:
    assert resolve_content(tmp_path, efi_image()).image == tmp_path / "kernel"


def deep_gzip(times: int) -> bytes:
    return gzip.compress(deep_gzip(times - 1)) if times else arm64_image()


PZSTD = b"\x50\x2a\x4d\x18" + struct.pack("<II", 4, 99)
"""The skippable frame that pzstd writes before each frame."""
PACKED = {
    "gzip": gzip.compress(arm64_image()),
    "zboot-gzip": zboot("gzip", gzip.compress(arm64_image())),
    "zboot-zstd22": zboot("zstd22", zstandard.compress(arm64_image(), 22)),
    "zboot-zstd": zboot("zstd", zstandard.compress(arm64_image())),
    "zboot-lzma": zboot("lzma", lzma.compress(arm64_image(), format=lzma.FORMAT_ALONE)),
    "zboot-xzkern": zboot("xzkern", lzma.compress(arm64_image(), check=lzma.CHECK_CRC32)),
    "zboot-bzip2": zboot("bzip2", bz2.compress(arm64_image())),
    "gzip-of-zboot": gzip.compress(zboot("gzip", gzip.compress(arm64_image()))),
    "xz": lzma.compress(arm64_image()),
    # The kernel's build passes --check=crc32.
    "xz-crc32": lzma.compress(arm64_image(), check=lzma.CHECK_CRC32),
    "lzma": lzma.compress(arm64_image(), format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress(arm64_image()),
    "zstd": zstandard.compress(arm64_image()),
    # The kernel's build appends the size.
    "zstd-with-size": zstandard.compress(arm64_image(), 22) + struct.pack("<I", 5064),
    "gzip-of-xz": gzip.compress(lzma.compress(arm64_image())),
    "gzip-members": gzip.compress(arm64_image()[:100]) + gzip.compress(arm64_image()[100:]),
    "pbzip2": bz2.compress(arm64_image()[:4000]) + bz2.compress(arm64_image()[4000:]),
    "pzstd": PZSTD + zstandard.compress(arm64_image()[:99]) + PZSTD + zstandard.compress(arm64_image()[99:]),
}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_packed_kernels_are_unpacked_once(data: bytes, tmp_path: Path) -> None:
    image = resolve_content(tmp_path, data).image
    assert image.read_bytes() == arm64_image()
    time_of_first = image.stat().st_mtime_ns
    assert resolve(str(tmp_path / "kernel"), tmp_path / "cache")[0].image.stat().st_mtime_ns == time_of_first


def test_a_rebuilt_kernel_is_unpacked_again(tmp_path: Path) -> None:
    first = resolve_content(tmp_path, gzip.compress(arm64_image())).image
    second = resolve_content(tmp_path, gzip.compress(arm64_image(size=6000))).image
    assert second != first
    assert second.read_bytes() == arm64_image(size=6000)


REFUSED = {
    "empty": (b"", "is empty"),
    "x86": (b"MZ".ljust(0x202, b"\0") + b"HdrS" + bytes(200), "an x86 kernel"),
    "arm32": (bytes(0x24) + b"\x18\x28\x6f\x01" + bytes(600), "a 32-bit Arm kernel"),
    "riscv": (bytes(56) + b"RSC\x05" + bytes(600), "a RISC-V kernel"),
    "vmlinux": (b"\x7fELF" + bytes(900), "arch/arm64/boot/Image"),
    "text": (b"hello\n", "is not an arm64 kernel"),
    "big-endian": (arm64_image(flags=1), "big-endian"),
    "gzip-of-text": (gzip.compress(b"hello\n"), "is not an arm64 kernel"),
    "gzip-of-vmlinux": (gzip.compress(b"\x7fELF" + bytes(900)), "arch/arm64/boot/Image"),
    "cut-image": (efi_image()[:-1], "cut off: its header gives 8192 bytes, the Image has 8191"),
    "cut-image-header": (efi_image()[:100], "damaged or was cut off"),
    "gzip-of-cut-image": (gzip.compress(efi_image()[:5000]), "damaged or was cut off"),
    "cut-gzip": (gzip.compress(arm64_image())[:-40], "damaged or was cut off"),
    "cut-gzip-trailer": (gzip.compress(arm64_image())[:-3], "damaged or was cut off"),
    "broken-gzip": (b"\x1f\x8b" + bytes(90), "damaged or was cut off"),
    "cut-zboot": (zboot("gzip", gzip.compress(arm64_image()), payload_size=1 << 20), "damaged or was cut off"),
    "cut-zboot-header": (b"MZ\0\0zimg" + bytes(20), "header is incomplete"),
    "broken-zstd": (zboot("zstd22", bytes(400)), "damaged or was cut off"),
    "gzip-4-times": (deep_gzip(4), "compressed more than 3 times"),
    "lz4": (zboot("lz4", bytes(400)), "'lz4', which the suite cannot unpack"),
}


REFUSED |= {
    f"cut-{name}": (PACKED[name][:-20], "damaged or was cut off") for name in ("xz", "lzma", "bzip2", "zstd", "pbzip2")
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_arm64_kernel_is_refused_with_a_cure(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_content(tmp_path, data)
    assert caught.value.cure
    assert not list(tmp_path.glob("cache/images/*/*"))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_data_larger_than_the_steps_of_decompression(name: str) -> None:
    data = random.Random(1).randbytes(300_000) + bytes(3_000_000) + random.Random(2).randbytes(300_000)
    packed = COMPRESSORS[name](data)
    assert decompression.compression_of(packed) == name
    assert decompression.decompress(name, packed + b"size") == data


BOMB = bytes(16 << 20)
BOMBS = {
    "gzip": lambda: gzip.compress(BOMB, 1),
    "xz": lambda: lzma.compress(BOMB, preset=0),
    "lzma": lambda: lzma.compress(BOMB, format=lzma.FORMAT_ALONE, preset=0),
    "bzip2": lambda: bz2.compress(BOMB),
    "zstd": lambda: zstandard.compress(BOMB),
    "bzip2-streams": lambda: bz2.compress(BOMB[: 1 << 20]) * 3,
    "zboot-zstd": lambda: zboot("zstd", zstandard.compress(BOMB)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_small_file_that_unpacks_to_a_huge_one(
    bomb: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "LARGEST", 2 << 20)
    with pytest.raises(UsageError, match="is too large: it unpacks to more than 2 MiB"):
        resolve_content(tmp_path, bomb())
    # The limit itself is allowed.
    assert decompression.decompress("bzip2", bz2.compress(bytes(2 << 20))) == bytes(2 << 20)


def test_a_compressed_file_of_terabytes(tmp_path: Path) -> None:
    with (tmp_path / "kernel").open("wb") as file:
        file.write(gzip.compress(arm64_image()))
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="is too large: it has 1048576 MiB"):
        resolve(str(tmp_path / "kernel"), tmp_path / "cache")


def pipe_of_a_shell(tmp_path: Path) -> Path:
    """As in --kernel <(zcat Image.gz): the file name is that of an open descriptor."""
    return Path(f"/dev/fd/{os.pipe()[0]}")


def named_pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "kernel")
    return tmp_path / "kernel"


def listening_socket(tmp_path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "kernel"))
    return tmp_path / "kernel"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (pipe_of_a_shell, "a pipe"),
        (named_pipe, "a pipe"),
        (listening_socket, "a socket"),
        (lambda _: Path("/dev/zero"), "a device"),
    ],
)
def test_what_can_be_read_only_once(make: Callable[[Path], Path], kind: str, tmp_path: Path) -> None:
    """It is refused before it is opened: open(2) of a FIFO without a writer does not return."""
    with pytest.raises(UsageError, match=rf"{kind}, not a file: each worker and each boot .*`zcat Image\.gz >Image`"):
        resolve(str(make(tmp_path)), tmp_path)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").touch()
    with pytest.raises(UsageError, match=r"is a directory.*arch/arm64/boot/Image"):
        resolve(str(tmp_path), tmp_path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "kernel").touch()
    # Not by chmod: root reads everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        resolve(str(tmp_path / "kernel"), tmp_path)


def test_an_unwritable_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(HarnessError, match="cache"):
        resolve_content(tmp_path, gzip.compress(arm64_image()))
    with pytest.raises(HarnessError, match="cache"):
        resolve("debian:stable", tmp_path / "cache", NOWHERE)


@pytest.mark.parametrize("suite", ["", "../etc", "a b", "stable]", "Stable", "stable/", "stable/..", "stable/16k/x"])
def test_what_is_no_suite_name(suite: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the name of a Debian suite"):
        resolve(f"debian:{suite}", tmp_path)


UNUSABLE: dict[str, tuple[str, str, type[HarnessError], str]] = {
    "a missing file": ("/nowhere/Image", NOWHERE, UsageError, "There is no kernel file"),
    "no address": ("debian:stable", "http://a b [trusted=yes]", UsageError, "is not an address"),
    "no such suite": ("debian:nosuch", NOWHERE, UsageError, "has no suite 'nosuch'"),
    "no network": ("debian:stable", "http://127.0.0.1:9/debian", HarnessError, "cannot be reached"),
}


@pytest.mark.parametrize(("what", "mirror", "error", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_resolved(
    what: str, mirror: str, error: type[HarnessError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=message) as caught:
        resolve(what, tmp_path, mirror)
    assert type(caught.value) is error


def test_an_unsigned_mirror_is_refused(tmp_path: Path) -> None:
    release = tmp_path / "mirror/dists/stable/Release"
    release.parent.mkdir(parents=True)
    release.write_text("Origin: Debian\nSuite: stable\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n")
    with pytest.raises(HarnessError, match="cannot be verified"):
        resolve("debian:stable", tmp_path / "cache", f"file://{tmp_path}/mirror")


def test_no_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "KEYRING", tmp_path / "none")
    with pytest.raises(HarnessError, match="apt install debian-archive-keyring"):
        resolve("debian:stable", tmp_path, NOWHERE)


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match="no program apt-get"):
        resolve("debian:stable", tmp_path, NOWHERE)


def kept(cache: Path, *, age: float) -> Callable[[], tuple[Kernel, list[str]]]:
    """Put a kernel into CACHE that was fetched AGE seconds ago; return a function that resolves it."""
    home = cache / "debian/stable" / debian.mirror_key(NOWHERE)
    folder = home / "linux-image-1"
    (folder / "modules").mkdir(parents=True)
    (folder / "Image").write_bytes(arm64_image())
    (folder / "modules/virtio.ko").touch()
    (folder / "order").write_text("virtio\n")
    state = {"folder": folder.name, "origin": "linux-image-1 1-1", "checked": time.time() - age}
    (home / "current.json").write_text(json.dumps(state))
    return lambda: resolve("debian:stable", cache, NOWHERE)


def test_a_fresh_kernel_costs_no_network_and_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = kept(tmp_path, age=3600)
    # apt, dpkg and tar take seconds: nothing may run them.
    monkeypatch.setattr(subprocess, "Popen", None)
    kernel, lines = again()
    assert kernel.origin == "linux-image-1 1-1"
    assert [module.name for module in kernel.modules] == ["virtio.ko"]
    assert not lines


@pytest.mark.parametrize("age", [90000, -90000], ids=["old", "from-the-future"])
def test_an_old_kernel_serves_when_the_mirror_does_not(age: float, tmp_path: Path) -> None:
    again = kept(tmp_path, age=age)
    kernel, lines = again()
    assert kernel.origin == "linux-image-1 1-1"
    assert "using the cached kernel of debian:stable" in lines[-1]
    # The mirror is not checked again for a while. The warning is repeated.
    lines = again()[1]
    assert len(lines) == 1
    assert "using the cached kernel of debian:stable" in lines[0]


def test_a_damaged_cache_is_not_used(tmp_path: Path) -> None:
    again = kept(tmp_path, age=60)
    (tmp_path / "debian/stable" / debian.mirror_key(NOWHERE) / "linux-image-1/Image").unlink()
    with pytest.raises(UsageError, match="has no suite"):
        again()


PACKAGES = {
    "linux-image-cloud-arm64": {"Depends": "linux-image-6.12-cloud-arm64 (= 6.12-1)"},
    "linux-image-arm64": {"Depends": "linux-image-6.12-arm64 (= 6.12-1)"},
    "linux-image-arm64-16k": {"Depends": "linux-image-6.12-arm64-16k (= 6.12-1)"},
    "linux-image-rt-arm64": {"Depends": "linux-image-6.12-rt-arm64 (= 6.12-1)"},
    **{
        f"linux-image-6.12-{flavour}": {"Version": "6.12-1"}
        for flavour in ("cloud-arm64", "arm64", "arm64-16k", "rt-arm64")
    },
}


@pytest.mark.parametrize(
    ("flavour", "package"),
    [("", "cloud-arm64"), ("/cloud", "cloud-arm64"), ("/arm64", "arm64"), ("/16k", "arm64-16k"), ("/rt", "rt-arm64"),
     ("/arm64-16k", "arm64-16k"), ("/64k", "no arm64 kernel of the flavour '64k'")],
)  # fmt: skip
def test_a_flavour_of_debians_kernel(
    flavour: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(_: apt.Apt, package: str, version: str, folder: Path) -> None:
        raise HarnessError(f"{package} {version}")

    monkeypatch.setattr(apt.Apt, "update", lambda _: "")
    monkeypatch.setattr(apt.Apt, "show", lambda _, name: PACKAGES.get(name, {}))
    monkeypatch.setattr(debian, "_install", install)
    with pytest.raises(HarnessError, match=package):
        resolve(f"debian:stable{flavour}", tmp_path, NOWHERE)


def test_flavours_do_not_share_a_folder(tmp_path: Path) -> None:
    kept(tmp_path, age=60)
    with pytest.raises(UsageError, match="has no suite"):
        resolve("debian:stable/16k", tmp_path, NOWHERE)


def test_depends_of_a_module() -> None:
    module = b"\0license=GPL\0depends=virtio-ring,virtio\0name=virtio_pci\0"
    assert debian.module_depends(module) == ["virtio_ring", "virtio"]
    assert debian.module_depends(b"\0depends=\0") == []


SIGNED = "/k/debian-archive-keyring.gpg"
SOURCES = {
    "one-line": ("sources.list", "# x\ndeb-src http://m/debian s main\ndeb http://m/debian s main\n"),
    "options": ("sources.list.d/a.list", f"deb [signed-by={SIGNED}] http://m/debian s main\n"),
    "deb822": (
        "sources.list.d/a.sources",
        "Types: deb\nURIs: http://x/debian\nSuites: s\nEnabled: no\n\n"
        f"Types: deb\nURIs: http://x/debian-security\nSuites: s-security\nSigned-By: {SIGNED}\n\n"
        "Types: deb deb-src\nURIs: http://m/debian\nSuites: s s-updates\nComponents: main\n",
    ),
}


@pytest.mark.parametrize(("file", "text"), SOURCES.values(), ids=SOURCES)
def test_the_mirror_in_source_files(file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / file).write_text(text)
    assert apt.mirror_of_sources(tmp_path) == "http://m/debian"


def test_no_mirror_in_source_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://m/ubuntu s main\ndeb cdrom:[Debian]/ s main\n")
    assert apt.mirror_of_sources(tmp_path) == ""


def test_no_mirror_at_all_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "mirror_of_sources", lambda _: "")
    monkeypatch.setattr(apt, "_mirror_of_lists", lambda: "")
    with pytest.raises(HarnessError, match=r"--debian-mirror or in KVM_HVC_DEBIAN_MIRROR"):
        apt.choose_mirror(None)
