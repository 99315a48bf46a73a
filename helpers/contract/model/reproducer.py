# SPDX-License-Identifier: GPL-2.0-only
"""Writes a sequence of calls as a C program that compares the answers, for bug reports and bisection."""

from __future__ import annotations

import errno
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.model.state import STALE, Host
from helpers.contract.registers import RFC_V3
from helpers.guest_layout import CALL_RESULT, MAILBOX, MAILBOX_HEAD, MEMORY_IPA, MEMORY_SIZE
from helpers.uapi import kvm as uapi

TEMPLATE = Path(__file__).with_suffix(".c.in")
_ACTORS = {"the main thread": "MAIN_THREAD", "another thread": "ANOTHER_THREAD", "duplicated fds": "DUPLICATES"}
_RUNS = {op.How.IMMEDIATE_EXIT: "kvm_run_immediate_exit", op.How.PLAIN: "kvm_run_plain"}


EventInC = Callable[[op.Disturb, str], str]
"""Returns the C function that makes an event, given the event and the function's name."""


def reproducer(host: Host, steps: Sequence[op.Step], image: bytes, title: str, event_in_c: EventInC) -> str:
    """The C file. ``image`` is the assembled guest, ``title`` the text of the comment at the top."""
    events = {s.operation: f"event_{at}" for at, s in enumerate(steps, 1) if isinstance(s.operation, op.Disturb)}
    body = "\n\n".join(
        f"\tstep({json.dumps(text.call_text(s.operation))});\n\t{_statement(host, s, events)};" for s in steps
    )
    holes = {
        "TITLE": "\n".join(f" * {line}".rstrip() for line in title.replace("*/", "* /").splitlines()),
        "MEMORY_IPA": f"{MEMORY_IPA:#x}", "MEMORY_SIZE": f"{MEMORY_SIZE:#x}",
        "MAILBOX": f"{MAILBOX:#x}", "MAILBOX_HEAD": str(MAILBOX_HEAD), "CALL_RESULT": str(CALL_RESULT),
        "GUEST": _words(image), "VCPUS": str(1 + max(_ids(steps))), "VMS": str(1 + max(s.operation.vm for s in steps)),
        "STALE": f"{STALE:#x}", "SEQUENCE": body,
        "EVENTS": "\n\n".join(event_in_c(operation, name) for operation, name in events.items()),
    }  # fmt: skip
    source = TEMPLATE.read_text("utf-8")
    for name, value in holes.items():
        source = source.replace(f"@{name}@", value)
    return source.replace("@CONSTANTS@", _constants(source))


def _ids(steps: Sequence[op.Step]) -> set[int]:
    """The ids of all vCPUs, and 0."""
    return {0, *(s.operation.id for s in steps if isinstance(s.operation, op.CreateVcpu))}


def _event(operation: op.Disturb, name: str) -> str:
    where = f"{operation.vm}, {operation.vcpu}, {operation.other}"
    return f"disturb({where}, {name}, {_ACTORS[operation.actor]}, {int(operation.effect.blocks)})"


def _constants(source: str) -> str:
    """A #define for each name of the kernel's headers in ``source``."""
    names = sorted({name for name in re.findall(r"\bKVM_\w+", source) if isinstance(getattr(uapi, name, None), int)})
    # An ioctl's number has 32 bits; a plain constant would be sign-extended to 64.
    return "\n".join(f"#define {name} {getattr(uapi, name):#x}ull" for name in names)


def _words(image: bytes) -> str:
    """The guest's nonzero words as designated initialisers."""
    padded = image + bytes(-len(image) % 4)
    words = [(at, word) for at, (word,) in enumerate(struct.iter_unpack("<I", padded)) if word]
    rows = [words[at : at + 4] for at in range(0, len(words), 4)]
    return "\n".join("\t" + " ".join(f"[{at:#x}] = {word:#010x}," for at, word in row) for row in rows)


def _error(number: int) -> str:
    return errno.errorcode[number] if number else "0"


def _array(values: Iterable[int]) -> str:
    return f"(const uint64_t[]){{ {', '.join(f'{value:#x}' for value in values)} }}"


def _statement(host: Host, step: op.Step, events: Mapping[op.Disturb, str]) -> str:
    operation, wants = step.operation, step.wants
    if isinstance(operation, op.Disturb):
        return _event(operation, events[operation])
    if isinstance(operation, op.OnVcpu):
        return _on_vcpu(host, operation, wants)
    vm = operation.vm
    match operation:
        case op.CreateVcpu(id=number):
            return f"create_vcpu({vm}, {number}, {_error(wants[0].value)})"
        case op.SetFilter(base=base, count=count, action=action):
            return f"set_filter({vm}, {base:#x}, {count:#x}, {action:#x}, {_error(wants[0].value)})"
        case op.CheckExtension():
            return f"check_extension({vm}, {wants[0].value})"
        case op.Restart(completes=completes):
            return f"restart({vm}, {int(completes)})"
        case op.EnableCap():
            return f"enable_cap({vm}, {_error(wants[0].value)})"
    return f"{'create_vm' if isinstance(operation, op.CreateVm) else 'close_vm'}({vm})"


def _on_vcpu(host: Host, operation: op.OnVcpu, wants: Sequence[op.Want]) -> str:
    where, error = f"{operation.vm}, {operation.vcpu}", _error(wants[0].value)
    match operation:
        case op.Init(features=features):
            return f"vcpu_init({where}, {sum(1 << number for number in features):#x}, {error})"
        case op.GetReg(register=register):
            return f"get_one_reg({where}, {register.id:#x}, {error}, {wants[1].value:#x})"
        case op.SetReg(register=register, value=value):
            return f"set_one_reg({where}, {register.id:#x}, {value:#x}, {error})"
        case op.ListRegs():
            first = uapi.fw_reg(3) if host.dialect is RFC_V3 else uapi.fw_feat_bmap_reg(0)
            ids = [r.id for r in host.registers]
            return f"reg_list({where}, {error}, {first:#x}, {first | 0xFFFF:#x}, {len(ids)}, {_array(ids)})"
        case op.Run(how=op.How.ARGUMENT):
            return f"kvm_run_argument({where}, 1, {error})"
        case op.Run(how=how):
            return f"{_RUNS[how]}({where}, {error})"
        case op.GuestCall() | op.ForwardedCall():
            return _guest_call(operation, wants)
        case op.ResumeGuest():
            return f"resume_guest({where}, {_compared(wants)})"
    assert isinstance(operation, op.PvTime)
    match operation.request:
        case op.Request.SET:
            return f"set_pv_time({where}, {operation.ipa:#x}, {error})"
        case op.Request.GET:
            return f"get_pv_time({where}, {error}, {wants[1].value:#x})"
    return f"has_pv_time({where}, {error})"


def _guest_call(operation: op.GuestCall | op.ForwardedCall, wants: Sequence[op.Want]) -> str:
    call = CALLEES[operation.name].call(operation.form)
    flags = next((want.value for want in wants if want.name == "hypercall.flags"), None)
    made = f"{operation.vm}, {operation.vcpu}, {int(call.conduit)}, {_array(call.registers)}"
    if isinstance(operation, op.ForwardedCall):
        return f"forwarded_call({made}, {flags or 0:#x})"
    forwarded = f"{int(flags is not None)}, {flags or 0:#x}"
    return f"guest_call({made}, {_error(wants[0].value)}, {forwarded}, {_compared(wants)})"


def _compared(wants: Sequence[op.Want]) -> str:
    """x0 to x3, and the compared bits of each."""
    x = [want for want in wants if want.name in ("x0", "x1", "x2", "x3")]
    return f"{_array(w.value for w in x)}, {_array(w.mask for w in x)}" if x else "NULL, NULL"
