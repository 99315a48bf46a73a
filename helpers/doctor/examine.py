# SPDX-License-Identifier: GPL-2.0-only
"""All checks of the machine, and the kinds of runs that their results allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from helpers.doctor.diagnosis import Diagnosis
from helpers.doctor.kernels import kernel_sources, memory
from helpers.doctor.own_kvm import own_kvm
from helpers.doctor.tools import c_parts, compilers, emulator, ssh, user_namespaces
from helpers.subjects.choose import ARM64
from helpers.subjects.local import DEVICE, processor

_BASE = frozenset(("arm64 compiler", "arm64 static libc", "C compiler"))
_QEMU = _BASE | {"QEMU", "QEMU machine with EL2"}
_DEBIAN = _QEMU | {"kernel cache", "Debian packages", "Debian mirror"}
_MODULE = _DEBIAN | {"user namespaces"}


@dataclass(frozen=True)
class Use:
    """A kind of run, the arguments of its command, and the checks that it depends on."""

    name: str
    example: str
    needs: frozenset[str]

    def problems(self, diagnoses: Iterable[Diagnosis]) -> list[str]:
        """The names of the checks that prevent it."""
        return [each.name for each in diagnoses if each.is_missing and each.name in self.needs]


DEFAULT_IN_QEMU = Use("Debian's kernels in QEMU", "run --kernel=debian:stable", _DEBIAN)
OWN = Use("this machine's own KVM", "run --kernel=local", _BASE | {str(DEVICE), "KVM"})
_ANYWHERE = (
    DEFAULT_IN_QEMU,
    Use("a kernel file in QEMU", "run --kernel=Image", _QEMU),
    Use("the RFC's dialect", "run --dialect-host=rfc-v3", _MODULE),
    Use("the suite, with planted faults", "prove", _MODULE),
    Use("boards", "run --board=USER@HOST", _BASE | {"ssh"}),
)


def uses() -> tuple[Use, ...]:
    """The kinds of runs on a machine with this processor."""
    return (OWN, *_ANYWHERE) if processor() == ARM64 else _ANYWHERE


def default_use() -> Use:
    """The kind of a run without options, and of ``make conformance``."""
    return uses()[0]


def examine(mirror: str | None) -> Iterator[Diagnosis]:
    """Each check of the machine, in the order in which runs depend on them. May create the cache's folder."""
    yield c_parts()
    yield from compilers()
    yield from emulator()
    yield memory()
    yield from kernel_sources(mirror)
    yield user_namespaces()
    yield ssh()
    yield from own_kvm()
