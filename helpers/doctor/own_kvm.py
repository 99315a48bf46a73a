# SPDX-License-Identifier: GPL-2.0-only
"""Checks of this machine's own KVM, the default subject on arm64."""

from __future__ import annotations

import getpass
import grp
import os
import resource
from collections.abc import Iterator
from contextlib import suppress

from helpers import build, guests
from helpers.batch import KvmError
from helpers.discovery.kvm_mode import kvm_mode
from helpers.doctor.diagnosis import Diagnosis, diagnose, good, missing, warning
from helpers.errors import HarnessError
from helpers.kvm import Kvm
from helpers.subjects.base import KernelDied
from helpers.subjects.choose import ARM64
from helpers.subjects.local import DEVICE, Local, check_device, processor
from helpers.subjects.privilege import as_root
from helpers.uapi import kvm as uapi

FILES = 4096
"""A sufficient hard limit of open files: the one of /init in QEMU (INR_OPEN_MAX, include/uapi/linux/fs.h)."""


def own_kvm() -> Iterator[Diagnosis]:
    """The device and, if it can be opened, KVM's mode, IPA size, cores and open files."""
    name = str(DEVICE)
    if processor() != ARM64:
        yield good(name, f"not used, because this machine is {processor()}")
        return
    device = diagnose(name, _device, _device_cure())
    yield device
    if device.is_missing:
        return
    if build.outdated():
        yield warning("KVM", "not checked, because the executor is not built yet", "make setup, then doctor again")
    else:
        yield from _of_kvm()
    yield open_files()


def _device() -> str:
    check_device()
    return "can be opened"


def _device_cure() -> str:
    """The command for a user without access to the device; "" in other cases, in which the error has the cure."""
    if not DEVICE.exists() or os.access(DEVICE, os.R_OK | os.W_OK):
        return ""
    with suppress(KeyError):
        group = grp.getgrgid(DEVICE.stat().st_gid).gr_name
        return as_root(f"usermod -aG {group} {getpass.getuser()}, then log in again")
    return ""


def _of_kvm() -> Iterator[Diagnosis]:
    """Opens /dev/kvm as the suite does and creates a VM."""
    subject = Local(build.NATIVE)
    try:
        kvm = Kvm(subject, guests.load_image(build.GUEST))
        yield from describe_kvm(kvm)
        kvm.close()
    except HarnessError as error:
        yield missing("KVM", error.what + (f": {error.why}" if error.why else ""), error.cure)
    except (KvmError, KernelDied) as error:
        yield missing("KVM", str(error), "see dmesg")
    finally:
        subject.close()


def describe_kvm(kvm: Kvm) -> Iterator[Diagnosis]:
    """Mode, IPA size and cores. Raises HarnessError, KernelDied, KvmError."""
    mode = kvm_mode(kvm)
    if mode:
        yield good("KVM mode", mode)
    else:
        cure = as_root("sysctl kernel.dmesg_restrict=0")
        yield warning("KVM mode", "unknown, because the kernel's log cannot be read", cure)
    # The limit is 0 before Linux 4.20, whose VMs all have the default size.
    limit = kvm.check_extension(uapi.KVM_CAP_ARM_VM_IPA_SIZE) or kvm.ipa_bits
    yield good("IPA size", f"limit {limit} bits; the suite's VMs have {kvm.ipa_bits}")
    facts = kvm.placement.describe()
    cores = f"{facts['cores of vCPUs']}; races: {facts['threads of races']}"
    yield warning("cores", cores) if kvm.placement.bind_errno else good("cores", cores)


def open_files() -> Diagnosis:
    """The hard limit of open files, which the executor in this process uses."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = "no limit" if hard == resource.RLIM_INFINITY else f"hard limit {hard}"
    if hard == resource.RLIM_INFINITY or hard >= FILES:
        return good("open files", detail)
    return warning("open files", f"{detail}; {FILES} are enough", as_root(f"prlimit --pid=$$ --nofile={FILES}"))
