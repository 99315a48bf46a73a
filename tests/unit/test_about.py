# SPDX-License-Identifier: GPL-2.0-only
"""The log's facts about kernel and suite, from arbitrary contents of the kernel's files."""

from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.discovery.kernel_facts import build_id, config_hash, merge_facts, processors
from helpers.version import suite_environment, suite_version
from tests.support import ROOT


def note(owner: bytes, kind: int, data: bytes) -> bytes:
    padded = [each.ljust(len(each) + 3 & ~3, b"\0") for each in (owner, data)]
    return struct.pack("<III", len(owner), len(data), kind) + b"".join(padded)


ID = note(b"GNU\0", 3, bytes(range(20)))


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (ID, bytes(range(20)).hex()),
        (note(b"Linux\0", 0x101, b"\1") + note(b"Linux\0", 3, b"no id") + ID, bytes(range(20)).hex()),
        (note(b"GNU\0", 1, b"abi."), ""),
        (b"", ""),
        (ID[:11], ""),
        (b"\xff" * 40, ""),
    ],
    ids=["alone", "behind others", "another note", "no file", "cut", "lies about its size"],
)
def test_build_id(notes: bytes, expected: str) -> None:
    assert build_id(notes) == expected


@given(st.binary(max_size=200))
def test_no_bytes_of_a_kernel_break_it(data: bytes) -> None:
    assert len(build_id(data)) <= 128
    assert processors(data).isprintable() and len(processors(data)) <= 400
    assert config_hash(data).isprintable()


def test_the_hash_is_that_of_the_file() -> None:
    text = b"CONFIG_KVM=y\n" * 1000
    assert config_hash(gzip.compress(text)) == f"sha256 {hashlib.sha256(text).hexdigest()} (/proc/config.gz)"
    assert config_hash(b"") == config_hash(b"\x1f\x8bno") == ""


def test_processors_of_two_kinds_are_both_told() -> None:
    line = "processor\t: {}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
    line += "CPU part\t: {}\nCPU revision\t: 0\n\n"
    text = processors("".join(line.format(n, part) for n, part in enumerate(("0xd05", "0xd0b", "0xd05"))).encode())
    assert text == (
        "3: implementer 0x41, part 0xd05, variant 0x1, revision 0; "
        "implementer 0x41, part 0xd0b, variant 0x1, revision 0"
    )


def test_what_the_kernel_tells_outweighs_what_its_package_says() -> None:
    packaged = {"configuration": "the package's", "home": "QEMU"}
    assert merge_facts({"configuration": "unknown", "build id": "unknown"}, packaged) == {
        **packaged,
        "build id": "unknown",
    }
    assert merge_facts({"configuration": "its own"}, packaged)["configuration"] == "its own"


def test_the_suite_names_its_version_and_its_commit(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert suite_environment()["suite"].split()[0] == project["version"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.version.version", lambda name: f"{name} as installed")
        assert suite_version(tmp_path) == "kvm-hvc-conformance as installed"
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    assert suite_version(tmp_path) == "1.2.3"
    git = ("git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    assert suite_version(tmp_path).startswith("1.2.3 (git ")
