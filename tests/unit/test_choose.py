# SPDX-License-Identifier: GPL-2.0-only
"""The choice of subjects, on machines that lack something."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

import pytest
from msgspec.structs import replace

from helpers.errors import HarnessError, UsageError
from helpers.identity import LOCAL, BootVariant, SubjectId
from helpers.progress import Progress
from helpers.subjects import choose, local
from helpers.subjects.kernels import resolve_kernel

DEBIAN = SubjectId("debian:stable")
MEANS = choose.Means(None, Progress())


def test_no_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match=r"is not installed.*make setup, or install QEMU for arm64") as caught:
        choose.make_subject(SubjectId("debian:stable"), MEANS)
    assert not isinstance(caught.value, UsageError)


@pytest.mark.parametrize(("machine", "expected"), [("aarch64", LOCAL), ("x86_64", DEBIAN)])
def test_the_default_depends_on_the_processor(
    machine: str, expected: SubjectId, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    # Without a device too: another kernel must not replace it unasked.
    monkeypatch.setattr(local, "DEVICE", tmp_path / "none")
    assert choose.subject_ids([]) == (expected,)
    assert choose.subject_ids(["Image"]) == (SubjectId("Image"),)


def test_what_needs_qemu_boots_debians_kernel_on_an_arm64_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    nvhe = BootVariant("nvhe")
    assert choose.subject_ids([], variants=[nvhe]) == (replace(DEBIAN, variant=nvhe),)
    assert choose.subject_ids([], plants=[("x", None)]) == (replace(DEBIAN, fault="x"),)
    assert choose.subject_ids([], dialect="rfc-v3") == (replace(DEBIAN, dialect="rfc-v3"),)


def test_local_on_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (subject_id,) = choose.subject_ids(["local"])
    with pytest.raises(UsageError, match=r"arm64 machine: this one is x86_64\. .*--kernel=debian:stable.*\./local"):
        choose.make_subject(subject_id, MEANS)


def test_this_machines_kernel_has_no_variants() -> None:
    with pytest.raises(UsageError, match="cannot be booted with other options"):
        choose.make_subject(replace(LOCAL, variant=BootVariant("nvhe")), MEANS)


CAUSES = {
    errno.ENOENT: "does not exist: this kernel has no KVM, or was not started at EL2. Use a kernel with KVM",
    errno.EACCES: "may not be opened by this user: permission denied. Add the user to the group kvm",
    errno.ENODEV: "cannot be opened: No such device. Make KVM usable",
    errno.EPERM: "cannot be opened: Operation not permitted. Make KVM usable",
}


@pytest.mark.parametrize("number", CAUSES)
def test_a_device_that_cannot_be_opened(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    # Not by chmod: root opens everything.
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(HarnessError) as caught:
        local.Local(tmp_path).start()
    assert f"/dev/kvm {CAUSES[number]}" in str(caught.value)
    assert str(caught.value).endswith("or test a kernel in QEMU with --kernel=debian:stable.")


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
            resolve_kernel(kernel, cache=homeless, mirror=None, progress=print)


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
