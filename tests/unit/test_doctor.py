# SPDX-License-Identifier: GPL-2.0-only
"""kvm-hvc-conformance doctor on machines that lack something, which fakes on PATH and in files stand for."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from helpers import build
from helpers.doctor import doctor, examine, kernels, own_kvm, tools
from helpers.doctor.diagnosis import Condition, Diagnosis, diagnose, good, missing, warning
from helpers.doctor.python import python_packages
from helpers.errors import HarnessError
from helpers.kvm import Kvm
from helpers.subjects import apt, local, toolroot
from helpers.subjects.debian import SuiteKernel

KEPT = SuiteKernel(Path("Image"), (), "linux-image-6.12-cloud-arm64 6.12-1")
QEMU = """#!/bin/sh
case "$*" in
*"-serial stdio"*) {probe} ;;
*-help*) echo "{help}" ;;
*-version*) echo "QEMU emulator version 9.9" ;;
esac
"""
PROBE = r"printf '\046\021\020\040\042\002\000\000'"
"""ID_AA64MMFR0_EL1 of a CPU with pages of 4K, 16K and 64K."""
Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Empties PATH; puts a script there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return folder / name

    return put


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "OUTPUT", tmp_path / "nothing")
    monkeypatch.setattr(build, "_installed", lambda: None)


def states(diagnoses: Iterator[Diagnosis] | tuple[Diagnosis, ...]) -> dict[str, str]:
    return {each.name: each.condition.value for each in diagnoses}


def test_an_error_becomes_a_diagnosis() -> None:
    def fails() -> str:
        raise HarnessError("The disk is gone", why="it was removed", cure="Put it back")

    assert diagnose("disk", lambda: "there") == good("disk", "there")
    assert diagnose("disk", fails) == missing("disk", "The disk is gone: it was removed", "Put it back")
    assert diagnose("disk", fails, "mount it").cure == "mount it"


def test_a_machine_without_programs(program: Program, unbuilt: None) -> None:
    del program, unbuilt
    for each in (*tools.compilers(), *tools.emulator(), tools.user_namespaces(), tools.ssh()):
        assert each.is_missing, each
        assert each.cure.startswith("install the equivalent of these Debian packages: "), each
    assert "init" in tools.c_parts().detail


def test_built_files_need_no_compiler(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    del program
    monkeypatch.setattr(build, "outdated", lambda: [])
    assert all(each.detail.startswith("not needed: ") and not each.cure for each in tools.compilers())
    assert tools.c_parts() == good("executor and guest", f"built, in {build.OUTPUT}")


@pytest.mark.parametrize("libc", ["libc.a", "/usr/aarch64-linux-gnu/lib/libc.a"])
def test_a_compiler_without_static_libc(libc: str, program: Program, unbuilt: None) -> None:
    """gcc prints the bare name of a file that it does not have."""
    del unbuilt
    for name in ("gcc", "objcopy"):
        program(build.cross_prefix() + name, f"#!/bin/sh\necho {libc}\n")
    assert states(tools.compilers()[:2]) == {
        "arm64 compiler": "ok",
        "arm64 static libc": "ok" if libc.startswith("/") else "missing",
    }


@pytest.mark.parametrize(
    ("help_text", "probe", "machine", "sandbox"),
    [
        ("-sandbox on", PROBE, "ok", "ok"),
        ("", PROBE, "ok", "warning"),
        ("-sandbox on", "echo unsupported >&2; exit 1", "missing", "ok"),
    ],
    ids=["complete", "no sandbox", "no EL2"],
)
def test_builds_of_qemu(help_text: str, probe: str, machine: str, sandbox: str, program: Program) -> None:
    program("qemu-system-aarch64", QEMU.format(help=help_text, probe=probe))
    by_name = states(tools.emulator())
    assert by_name.pop("prlimit and setpriv") == "warning"
    assert by_name == {"QEMU": "ok", "QEMU machine with EL2": machine, "QEMU sandbox": sandbox}


@pytest.mark.parametrize(
    ("file", "value", "cure"),
    [
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        ("kernel/other", "0", "docker run --security-opt seccomp=unconfined --cap-add SYS_ADMIN (in a container)"),
    ],
)
def test_user_namespaces(
    file: str, value: str, cure: str, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolroot, "_PROC_SYS", tmp_path)
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"{value}\n")
    program("unshare", "#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert tools.user_namespaces().cure == cure
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert tools.user_namespaces().cure == (f"sudo {cure}" if cure.startswith("sysctl") else cure)
    program("unshare", "#!/bin/sh\nexit 0\n")
    assert tools.user_namespaces().condition is Condition.OK


@pytest.mark.parametrize("kept", [None, KEPT], ids=["empty cache", "kept kernel"])
def test_no_network(kept: SuiteKernel | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a kept kernel nothing can run; with one, this is a warning."""
    expected = "warning" if kept else "missing"
    helper = tmp_path / "apt-helper"
    helper.write_text("#!/bin/sh\necho \"E: Could not resolve 'mirror.invalid'\" >&2\nexit 100\n")
    helper.chmod(0o755)
    monkeypatch.setattr(apt, "_HELPER", helper)
    monkeypatch.setattr(kernels, "check_tools", lambda: None)
    monkeypatch.setattr(kernels, "kept_kernel", lambda *_, **__: kept)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    by_name = {each.name: each for each in kernels.kernel_sources("http://mirror.invalid/debian")}
    assert by_name["Debian mirror"].condition.value == expected
    assert "http://mirror.invalid/debian cannot be reached: Could not resolve" in by_name["Debian mirror"].detail
    assert "--debian-mirror" in by_name["Debian mirror"].cure
    assert "in the cache: linux-image" in by_name["kernel debian:stable"].detail if kept else True


def test_a_mirror_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper = tmp_path / "apt-helper"
    helper.write_text("#!/bin/sh\nexec sleep 60\n")
    helper.chmod(0o755)
    monkeypatch.setattr(apt, "_HELPER", helper)
    monkeypatch.setattr(kernels, "NETWORK_SECONDS", 0.3)
    began = time.monotonic()
    assert kernels._mirror("http://mirror.invalid/debian").is_missing
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("free", "state"), [(100, "missing"), (300, "warning"), (5000, "ok")])
def test_room_in_the_cache(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free << 20))
    each = kernels._space("kernel cache", Path("/home/me/.cache/kvm-hvc-conformance"))
    assert each.condition.value == state and bool(each.cure) == (state != "ok")


def test_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\nMemAvailable:  524288 kB\n")
    assert kernels.memory(tmp_path / "meminfo").condition is Condition.WARNING
    (tmp_path / "meminfo").write_text("MemAvailable:  8388608 kB\n")
    assert kernels.memory(tmp_path / "meminfo").condition is Condition.OK


def test_packages(tmp_path: Path) -> None:
    assert python_packages().condition is Condition.OK
    project = "[project]\ndependencies = ['pytest>=9', 'no-such-package>=1', 'cffi>=999', 'jinja2>=1,<2']\n"
    (tmp_path / "pyproject.toml").write_text(project)
    each = python_packages(tmp_path)
    assert each.is_missing and each.cure == "make setup"
    assert "no-such-package; cffi" in each.detail and "does not meet jinja2>=1,<2" in each.detail


@pytest.fixture
def arm64(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An arm64 machine. The path of its /dev/kvm, which is missing."""
    for module in (own_kvm, examine):
        monkeypatch.setattr(module, "processor", lambda: "aarch64")
    for module in (own_kvm, local):
        monkeypatch.setattr(module, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(build, "outdated", lambda: ["init"])
    return tmp_path / "kvm"


def test_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_kvm, "processor", lambda: "riscv64")
    assert [each.detail for each in own_kvm.own_kvm()] == ["not used, because this machine is riscv64"]


def test_no_kvm_on_arm64(arm64: Path) -> None:
    (each,) = own_kvm.own_kvm()
    assert each.is_missing and f"{arm64} does not exist" in each.detail and "started at EL2" in each.cure


@pytest.mark.parametrize(("uid", "sudo"), [(0, ""), (1000, "sudo ")])
def test_no_permission_on_arm64(uid: int, sudo: str, arm64: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm64.touch()
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert own_kvm._device_cure().startswith(f"{sudo}usermod -aG ")


def test_kvm_before_the_first_build(arm64: Path) -> None:
    arm64.touch()
    assert states(own_kvm.own_kvm())["KVM"] == "warning"
    assert examine.default_use() is examine.OWN


@pytest.mark.parametrize("mode", ["vhe", ""])
@pytest.mark.parametrize("bind_errno", [0, 22])
def test_facts_of_kvm(mode: str, bind_errno: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_kvm, "kvm_mode", lambda _: mode)
    placement = SimpleNamespace(
        bind_errno=bind_errno, describe=lambda: {"cores of vCPUs": "0-3", "threads of races": "SCHED_FIFO"}
    )
    kvm: Any = SimpleNamespace(ipa_bits=40, placement=placement, check_extension=lambda _: 48)
    by_name = {each.name: each for each in own_kvm.describe_kvm(cast(Kvm, kvm))}
    assert by_name["IPA size"].detail == "limit 48 bits; the suite's VMs have 40"
    assert by_name["KVM mode"].condition is (Condition.OK if mode else Condition.WARNING)
    assert by_name["cores"].condition is (Condition.WARNING if bind_errno else Condition.OK)


@pytest.mark.parametrize(("hard", "state"), [(1024, "warning"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_open_files(hard: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    assert own_kvm.open_files().condition.value == state


@pytest.mark.parametrize(
    ("checked", "status", "last"),
    [
        ((good("QEMU", "9.9"), warning("ssh", "old")), 0, "It can start."),
        ((missing("QEMU", "not installed", "apt-get install it"),), 3, "It cannot start here."),
        ((missing("user namespaces", "not allowed", "allow them"),), 0, "It can start."),
    ],
    ids=["all", "no qemu", "no namespaces"],
)
def test_the_command(
    checked: tuple[Diagnosis, ...],
    status: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(examine, "processor", lambda: "x86_64")
    monkeypatch.setattr(examine, "examine", lambda mirror: iter(checked) if mirror == "http://m/debian" else iter(()))
    assert doctor.main(["--debian-mirror", "http://m/debian"]) == status
    shown = capsys.readouterr().out
    assert shown.endswith(f"A run without options tests Debian's kernels in QEMU. {last}\n")
    for each in checked:
        assert each.detail in shown and each.cure in shown
        assert not each.is_missing or f"       missing: {each.name}\n" in shown


def test_the_program_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name if PATH finds it, else its path."""
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path)
    assert doctor._program() == "kvm-hvc-conformance"
    (folder / "kvm-hvc-conformance").touch(mode=0o755)
    assert doctor._program() == ".venv/bin/kvm-hvc-conformance"
    monkeypatch.chdir("/usr")
    assert doctor._program() == str(folder / "kvm-hvc-conformance")
    monkeypatch.setenv("PATH", str(folder))
    assert doctor._program() == "kvm-hvc-conformance"


def test_without_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "python_packages", lambda: missing("Python packages", "none", "make setup"))
    assert doctor.main([]) == 3
    assert capsys.readouterr().out.endswith("-> make setup\n\nThe other checks need these packages.\n")


def test_every_need_is_a_check() -> None:
    """Names of checks in the table of uses are those of the checks themselves."""
    sources = "".join(path.read_text() for path in (build.ROOT / "helpers/doctor").glob("*.py"))
    for need in {need for use in (examine.OWN, *examine.uses()) for need in use.needs} - {"/dev/kvm"}:
        # Once in the table, once in the check.
        assert sources.count(f'"{need}"') >= 2, need
