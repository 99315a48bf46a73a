# SPDX-License-Identifier: GPL-2.0-only
"""Sequences of calls for the contract's model, and the C program for a sequence."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers import build, guests
from helpers.build import tool_path
from helpers.contract.calling_forms import HVC, SMC, Form
from helpers.contract.model import operations as op
from helpers.contract.model.reproducer import reproducer
from helpers.contract.model.state import Host
from helpers.contract.neighbours import PSCI_0_2, PSCI_VERSION
from helpers.contract.registers import MAINLINE
from helpers.uapi.notation import RegisterId
from suites.events.perform import ACTORS
from suites.model.alphabet import EFFECTS
from suites.model.drive import DriveFacts
from suites.model.event_in_c import event_in_c
from suites.model.shrink import Steps

HOST = Host(MAINLINE, MAINLINE.registers[:3], 0x10001, (), True, True, True, True)
PSCI = (2,)
STD, STD_HYP, VENDOR = (RegisterId(r.name, r.id) for r in MAINLINE.registers[:3])
VM, VCPU, INIT = op.CreateVm(0), op.CreateVcpu(0, 0), op.Init(0, 0, PSCI)
RUN, NOW = op.Run(0, 0, op.How.PLAIN), op.Run(0, 0, op.How.IMMEDIATE_EXIT)
TRNG = "TRNG_VERSION"
IDS = (0x6030_0000_0010_0000, STD.id)
"""x0, and a bitmap register."""
MMIO, HYPERCALL = 6, 3


def calls(name: str, form: Form = HVC, vcpu: int = 0) -> op.GuestCall:
    return op.GuestCall(0, vcpu, name, form)


def put(register: RegisterId, value: int, vcpu: int = 0) -> op.SetReg:
    return op.SetReg(0, vcpu, register, value)


def got(register: RegisterId, vcpu: int = 0) -> op.GetReg:
    return op.GetReg(0, vcpu, register)


def denied(action: int, base: int = 0x84000050, count: int = 1) -> op.SetFilter:
    return op.SetFilter(0, base, count, action)


def stays(name: str, form: Form = HVC, vcpu: int = 0) -> op.ForwardedCall:
    return op.ForwardedCall(0, vcpu, name, form)


def honest(steps: Steps) -> list[op.StepAnswer]:
    """The expected answers."""
    return [tuple(want.value for want in step.wants) for step in steps]


def event(name: str, vcpu: int = 0, actor: str = "the main thread", vm: int = 0) -> op.Disturb:
    return op.Disturb(vm, vcpu, name, actor, EFFECTS[name])


EVENTS = [
    op.CreateVm(2), *(each for n in (0, 2, 3) for each in (op.CreateVcpu(2, n), op.Init(2, n, PSCI))),
    *(
        each
        for at, name in enumerate(EFFECTS)
        for each in (event(name, (0, 2, 3)[at % 3], ACTORS[at // 3 % 3], 2), op.Restart(2))
    ),
    op.GetReg(2, 3, STD), op.Run(2, 0, op.How.PLAIN), op.GuestCall(2, 2, TRNG, HVC), op.SetReg(2, 2, STD, 0),
    op.CloseVm(2),
]  # fmt: skip
"""Every event, by every actor, in a separate VM."""

EVERY = [
    VM, VCPU, VCPU, INIT, op.Init(0, 0, ()), op.CreateVcpu(0, 1), got(STD, 1), op.Init(0, 1, PSCI), got(STD),
    put(STD, 2), put(STD, 1 << 63), put(STD_HYP, 1), put(PSCI_VERSION, PSCI_0_2), got(PSCI_VERSION), op.ListRegs(0, 0),
    got(RegisterId("STD, id of size U32", STD.id & ~0xF0_0000_0000_0000 | 2 << 52)), op.CheckExtension(0),
    op.EnableCap(0), denied(2), denied(1), denied(1, 0x8600FF01), denied(3), op.PvTime(0, 0, op.Request.HAS),
    op.PvTime(0, 0, op.Request.GET), op.PvTime(0, 0, op.Request.SET, 0x1F040), op.PvTime(0, 0, op.Request.GET),
    op.Run(0, 0, op.How.ARGUMENT), put(STD, 0), calls(TRNG), calls(TRNG, SMC), calls("VENDOR_HYP_CALL_UID"),
    calls("TRNG_GET_UUID", SMC), calls("PV_TIME_ST"), calls("PV_TIME_ST", vcpu=1), calls("KVM_PTP.VIRTUAL"),
    calls("PSCI.PSCI_VERSION"), calls("WORKAROUND_1"), NOW, RUN, INIT, calls("KVM_FEATURES"), put(STD, 1), put(STD, 0),
    got(STD, 1), denied(1), op.CreateVm(1), op.CreateVcpu(1, 3), op.Run(1, 3, op.How.PLAIN), op.Init(1, 3, ()),
    op.GuestCall(1, 3, "KVM_FEATURES", HVC), op.GetReg(1, 3, STD), op.SetFilter(1, 0x84000050, 1, 2), op.CloseVm(0),
    *EVENTS, op.CreateVm(3), op.CreateVcpu(3, 5), op.Init(3, 5, PSCI), op.SetFilter(3, 0x84000050, 1, 2),
    op.ForwardedCall(3, 5, TRNG, SMC), op.SetReg(3, 5, STD, 0), op.ResumeGuest(3, 5), op.CloseVm(3), op.CloseVm(1),
]  # fmt: skip
"""Every call in one VM, which is closed at the end, while another VM exists."""


def in_c(operation: op.Disturb, name: str) -> str:
    """An event's C function."""
    return event_in_c(operation, name, DriveFacts(MAINLINE, HOST.registers, IDS), 0x1000, 0)


def compiled(folder: Path, steps: Steps, *flags: str) -> Path:
    build.build_all()
    source, program = folder / "reproducer.c", folder / "reproducer"
    title = "A title */ with an end of comment."
    source.write_text(reproducer(HOST, steps, guests.load_image(build.GUEST), title, in_c))
    command = [tool_path("gcc"), "-static", "-pthread", "-s", *flags, "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return program
