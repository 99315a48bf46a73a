# SPDX-License-Identifier: GPL-2.0-only
"""Names for the numbers in system calls: ioctls, registers, capabilities, functions and fds."""

from __future__ import annotations

from helpers.contract.functions import FUNCTIONS
from helpers.contract.neighbours import WORKAROUND_REGISTERS
from helpers.contract.registers import MAINLINE, RFC_V3
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls

_EXIT = "KVM_EXIT_"
_CAPABILITY = "KVM_CAP_"
_SAME_NUMBER = "KVM_ARM_SET_DEVICE_ADDR"
"""On a VM's fd, this has the number of KVM_GET_ONE_REG."""
_REQUEST_BITS = 32


def _constants(prefix: str) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(uapi).items()
        if name.startswith(prefix) and isinstance(value, int) and name != _SAME_NUMBER
    }


IOCTLS = {
    value: name
    for value, name in _constants("KVM_").items()
    if value >> _REQUEST_BITS == 0 and value >> 8 & 0xFF == uapi.KVMIO
}
CAPABILITIES = _constants(_CAPABILITY)
EXITS = _constants(_EXIT)
SYSCALLS = {value: name.lower() for name, value in vars(syscalls).items() if name.isupper() and "_SIG" not in name}
_FUNCTIONS = {function.id: function.name.partition(".")[0] for function in FUNCTIONS}
_REGISTERS = {
    uapi.fw_reg(0): "PSCI_VERSION",
    uapi.KVM_REG_ARM_CORE_PC: "pc",
    **{uapi.core_x(number): f"x{number}" for number in range(31)},
    **{each.register.id: each.register.name for each in WORKAROUND_REGISTERS},
    **{register.id: register.name for register in MAINLINE.registers},
}


def ioctl_name(request: int) -> str:
    return IOCTLS.get(request, f"ioctl {request:#x}")


def register_name(register_id: int) -> str:
    """A register's id with its name, or with both if the dialects use it differently."""
    names = [_REGISTERS[register_id]] if register_id in _REGISTERS else []
    names += [f"RFC v3's {register.name}" for register in RFC_V3.registers if register.id == register_id]
    return f"{register_id:#x} {' or '.join(names)}".rstrip()


def function_name(function: int) -> str:
    return f"{function:#x} {_FUNCTIONS.get(function, '')}".rstrip()


class Roles:
    """The names of fds, as far as the calls so far show: /dev/kvm, vm1, vm1.vcpu0."""

    def __init__(self) -> None:
        self._roles: dict[int, str] = {}
        self._vms = 0

    def __getitem__(self, fd: int) -> str:
        return self._roles.get(fd, f"fd {fd}")

    def opened(self, fd: int, path: str) -> None:
        """open(2) returned ``fd``."""
        self._roles[fd] = path

    def answered(self, fd: int, request: int, ret: int, argument: int) -> str:
        """An ioctl succeeded. Returns the name of the fd that it created, or ""."""
        if request == uapi.KVM_CREATE_VM:
            self._roles.setdefault(fd, "/dev/kvm")
            return self._vm(ret)
        if request == uapi.KVM_CREATE_VCPU:
            vm = self._roles.get(fd) or self._vm(fd)
            self._roles[ret] = f"{vm}.vcpu{argument}"
            return self._roles[ret]
        if request in (uapi.KVM_RUN, uapi.KVM_GET_ONE_REG, uapi.KVM_SET_ONE_REG):
            self._roles.setdefault(fd, f"vcpu (fd {fd})")
        return ""

    def closed(self, fd: int) -> None:
        """The number can be reused for another file."""
        self._roles.pop(fd, None)

    def _vm(self, fd: int) -> str:
        self._vms += 1
        self._roles[fd] = f"vm{self._vms}"
        return self._roles[fd]
