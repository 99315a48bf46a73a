# SPDX-License-Identifier: GPL-2.0-only
"""The choice of subjects, on machines that lack something."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
import pytest

from helpers.errors import HarnessError, UsageError
from helpers.identity import LOCAL, BootVariant, SubjectId
from helpers.progress import Progress
from helpers.subjects import choose, local

MEANS = choose.Means(None, Progress())


def test_no_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match=r"is not installed.*make setup, or install QEMU for arm64") as caught:
        choose.make_subject(SubjectId("debian:stable"), MEANS)
    assert not isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("machine", "device", "expected"),
    [("aarch64", True, "local"), ("aarch64", False, "debian:stable"), ("x86_64", True, "debian:stable")],
)
def test_what_is_meant_when_nothing_is_said(
    machine: str, device: bool, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(local, "DEVICE", tmp_path if device else tmp_path / "none")
    assert [each.label for each in choose.subject_ids([])] == [expected]
    nvhe = BootVariant("nvhe")
    assert choose.subject_ids([], variants=[nvhe]) == (SubjectId("debian:stable", variant=nvhe),)


def test_this_machines_kvm_is_taken_as_it_is() -> None:
    with pytest.raises(UsageError, match="as it is"):
        choose.make_subject(msgspec.structs.replace(LOCAL, variant=BootVariant("nvhe")), MEANS)


def test_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "DEVICE", tmp_path / "kvm")
    with pytest.raises(HarnessError, match=r"kvm does not exist: .*EL2\. Choose a kernel to boot in QEMU"):
        local.Local(tmp_path).start()


def test_a_device_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(local, "DEVICE", tmp_path / "kvm")
    # Not by chmod: root opens everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HarnessError, match=r"may not be opened by this user: permission denied\. Add the user to"):
        local.Local(tmp_path).start()


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert choose.cache_directory() == tmp_path / "kvm-hvc-conformance"


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder for temporary files, if no cache can be created."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_an_unwritable_cache_has_a_stand_in(unwritable: Path) -> None:
    cache = choose.cache_directory()
    assert cache == unwritable / f"kvm-hvc-conformance-{os.getuid()}"
    assert cache.stat().st_mode & 0o777 == 0o700
    assert choose.cache_directory() == cache


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without HOME and passwd entry, as in a container on OpenShift or with docker -u. Returns the temporary
    folder.
    """
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # pathlib and posixpath expand ~ with it, and raise RuntimeError for KeyError.
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_user_without_a_home_directory(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = choose.cache_directory()
    assert cache == homeless / f"kvm-hvc-conformance-{os.getuid()}" and cache.is_dir()
    cache.rmdir()
    cache.touch()
    with pytest.raises(HarnessError, match=r"Neither ~/\.cache/kvm-hvc-conformance nor .* can be written"):
        choose.cache_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", str(homeless))
    assert choose.cache_directory() == homeless / "kvm-hvc-conformance"


def test_a_kernel_in_an_unknown_home_directory(homeless: Path) -> None:
    for kernel in ("~/Image", "~no-such-user/Image"):
        with pytest.raises(UsageError, match=f"The home directory in --kernel={kernel} is unknown"):
            choose.resolve_kernel(kernel, cache=homeless, mirror=None, progress=print)


@pytest.mark.parametrize("trap", ["open to all", "a link", "a file"])
def test_a_stand_in_of_somebody_else_is_refused(trap: str, unwritable: Path) -> None:
    path = unwritable / f"kvm-hvc-conformance-{os.getuid()}"
    if trap == "open to all":
        path.mkdir()
        path.chmod(0o777)
    elif trap == "a link":
        path.symlink_to(unwritable)
    else:
        path.touch()
    with pytest.raises(HarnessError, match="Name a folder that can be written in XDG_CACHE_HOME"):
        choose.cache_directory()
