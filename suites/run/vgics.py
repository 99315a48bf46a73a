# SPDX-License-Identifier: GPL-2.0-only
"""In-kernel GICv3s (Documentation/virt/kvm/devices/arm-vgic-v3.rst)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from helpers.executor.program import Program
from helpers.kvm import Kvm, Vm
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import error_name

DISTRIBUTOR, REDISTRIBUTORS = 0x0800_0000, 0x080A_0000
"""Guest physical addresses where the guest has no memory."""


@dataclass
class Vgics:
    """Makes GICv3s and closes them."""

    kvm: Kvm
    made: list[int] = field(default_factory=list)

    def try_create(self, vm: Vm, kind: int) -> int:
        """KVM_CREATE_DEVICE without addresses: the errno. The fd is the last one in ``made``."""
        batch = vm.batch()
        device = batch.program.structure(uapi.pack("kvm_create_device", type=kind), "type {}", kind)
        done = batch.call("KVM_CREATE_DEVICE", vm.fd, uapi.KVM_CREATE_DEVICE, device)
        written = batch.program.peek(device.address + uapi.offset("kvm_create_device", "fd"), 4)
        answer = batch.run()
        if not done.errno:
            self.made.append(int.from_bytes(answer[written].data, "little"))
        return done.errno

    def create(self, vm: Vm) -> int:
        """A GICv3's fd. The test is not applicable on a host without one."""
        if error := self.try_create(vm, uapi.KVM_DEV_TYPE_ARM_VGIC_V3):
            why = error_name(error)
            pytest.skip(f"not applicable, because this KVM has no in-kernel GICv3 (KVM_CREATE_DEVICE: {why})")
        return self.made[-1]

    def set_up(self, vm: Vm) -> None:
        """Creates a GICv3 that is ready to run. Raises KvmError."""
        device, batch = self.create(vm), vm.batch()
        for group, attr, address in (
            (uapi.KVM_DEV_ARM_VGIC_GRP_ADDR, uapi.KVM_VGIC_V3_ADDR_TYPE_DIST, DISTRIBUTOR),
            (uapi.KVM_DEV_ARM_VGIC_GRP_ADDR, uapi.KVM_VGIC_V3_ADDR_TYPE_REDIST, REDISTRIBUTORS),
            (uapi.KVM_DEV_ARM_VGIC_GRP_CTRL, uapi.KVM_DEV_ARM_VGIC_CTRL_INIT, 0),
        ):
            what = f"vGIC attribute {group}.{attr}"
            done = batch.device_attr(what, device, uapi.KVM_SET_DEVICE_ATTR, group, attr, address.to_bytes(8, "little"))
        batch.run()
        done.ok()

    def close(self) -> None:
        """Closes them all."""
        program = Program()
        for device in self.made:
            program.close(device)
        self.made = []
        if self.kvm.alive:
            self.kvm.subject.run(program)
