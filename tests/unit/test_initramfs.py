# SPDX-License-Identifier: GPL-2.0-only
"""The initramfs, read back by an independent parser."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from helpers.errors import HarnessError
from helpers.subjects.initramfs import build_initramfs

Entry = tuple[int, tuple[int, int], bytes]


def parse(archive: bytes) -> dict[str, Entry]:
    """Name to mode, device number and data, in the archive's order; the trailer must be last."""
    entries: dict[str, Entry] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name_end = at + 110 + fields[11]
        name = archive[at + 110 : name_end - 1].decode()
        assert archive[name_end - 1] == 0
        start = (name_end + 3) & ~3
        end = start + fields[6]
        at = (end + 3) & ~3
        if name == "TRAILER!!!":
            assert at == len(archive)
            return entries
        entries[name] = (fields[1], (fields[9], fields[10]), archive[start:end])


def files(folder: Path) -> tuple[Path, list[Path]]:
    init = folder / "executor"
    init.write_bytes(b"\x7fELF...")
    modules = []
    for name in ("virtio_ring.ko", "virtio.ko"):
        (folder / name).write_bytes(name.encode() * 3)
        modules.append(folder / name)
    return init, modules


def test_everything_reads_back_in_order(tmp_path: Path) -> None:
    entries = parse(build_initramfs(*files(tmp_path)))
    assert list(entries) == [
        *("dev", "proc", "sys", "modules", "dev/console", "init"),
        *("modules/00-virtio_ring.ko", "modules/01-virtio.ko"),
    ]
    assert entries["init"] == (stat.S_IFREG | 0o755, (0, 0), b"\x7fELF...")
    assert entries["dev/console"] == (stat.S_IFCHR | 0o600, (5, 1), b"")
    assert all(stat.S_ISDIR(entries[name][0]) for name in ("dev", "proc", "sys", "modules"))
    assert entries["modules/01-virtio.ko"][2] == b"virtio.ko" * 3


def test_no_modules(tmp_path: Path) -> None:
    init, _ = files(tmp_path)
    assert list(parse(build_initramfs(init, [])))[-1] == "init"


def test_same_input_same_bytes(tmp_path: Path) -> None:
    assert build_initramfs(*files(tmp_path)) == build_initramfs(*files(tmp_path))


def test_missing_init_is_an_error_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="make setup"):
        build_initramfs(tmp_path / "none", [])
