# SPDX-License-Identifier: GPL-2.0-only
"""Translates the calls that an event of suites/events makes to a C function for the reproducer."""

from __future__ import annotations

from collections.abc import Iterator

from helpers.contract.model import operations as op
from helpers.executor.program import Arg, ArgType, Code, Op
from helpers.kvm_program import KvmProgram
from suites.events.events import EventPlace
from suites.model.alphabet import BY_NAME
from suites.model.drive import DriveFacts

PLACES = ("kvm", "vm", "vcpu", "other", "memory", "run_address")
"""The fds and addresses that an event uses. In the C function they are the first elements of the array of results."""
_CALLS = {
    Code.CLOSE: "close({0})", Code.IOCTL: "ioctl({0}, {1}, {2})", Code.IOCTL_AGAIN: "ioctl_again({0}, {1}, {2})",
    Code.MMAP: "mmap((void *){0}, {1}, {2}, {3}, {4}, {5})", Code.MUNMAP: "munmap((void *){0}, {1})",
    Code.IOCTL_PEEK: "ioctl({0}, {1}, {2})", Code.POKE_VALUE: "poke_value({0}, {1})",
    Code.SYSCALL: "syscall({0}, {1}, {2}, {3}, {4}, {5})", Code.ONE_REG: "ioctl_one_reg({0}, {1}, {2}, {3})",
}  # fmt: skip


def event_in_c(operation: op.Disturb, name: str, facts: DriveFacts, run_size: int, vm_type: int) -> str:
    """The C source of a function ``name``. Its argument is an array with the values of PLACES."""
    program = KvmProgram()
    at = {place: program.close(-1) for place in PLACES}
    place = EventPlace(
        kvm=at["kvm"], vm_type=vm_type, vm=at["vm"], vcpu=at["vcpu"],
        vcpu_id=operation.vcpu, other=at["other"], other_id=operation.other,
        memory=at["memory"], run_address=at["run_address"], run_size=run_size, features=operation.features,
        registers=facts.registers, values=dict(operation.values), ids=facts.ids,
    )  # fmt: skip
    BY_NAME[operation.event].does(program, place)
    calls = [each for each in program.stages[0][0].ops if each[0] >= len(PLACES)]
    size = 1 + max((number for number, _ in calls), default=len(PLACES))
    lines = "\n".join(f"\t{line};" for line in [*_contents(program), *_lines_of(calls)])
    return (
        f"static void {name}(const int64_t *place)\n{{\n\tstatic int64_t r[{size}];\n"
        f"\tstatic uint8_t s[{max(16, program.scratch_size)}] __attribute__((aligned(16)));\n\n"
        f"\tmemset(s, 0, sizeof(s));\n\tmemcpy(r, place, {len(PLACES)} * sizeof(*r));\n{lines}\n}}"
    )


def _contents(program: KvmProgram) -> Iterator[str]:
    """The C statements that fill the scratch memory before the first call."""
    for start, chunk in program.chunks:
        yield f"memcpy(s + {start}, {_bytes(chunk)}, {len(chunk)})"
    for at in program.pointers:
        yield f"poke_value((uint64_t)s + {at}, (uint64_t)s + *(uint64_t *)(s + {at}))"


def _lines_of(calls: list[tuple[int, Op]]) -> Iterator[str]:
    for number, each in calls:
        yield from _lines(number, each)


def _lines(number: int, each: Op) -> Iterator[str]:
    arguments = [_value(arg) for arg in each.args]
    match each.code:
        case Code.POKE:
            yield f"poke({arguments[0]}, {_bytes(each.data)}, {len(each.data)})"
        case Code.OPEN:
            path = each.data.rstrip(b"\0").decode()
            yield f'r[{number}] = open("{path}", {arguments[0]}, {arguments[1]})'
        case Code.READ:
            yield f"r[{number}] = read_some({arguments[0]}, {arguments[1]})"
        case Code.WRITE:
            yield f"r[{number}] = write({arguments[0]}, {_bytes(each.data)}, {len(each.data)})"
        case Code.PEEK:
            pass
        case _:
            yield f"r[{number}] = (int64_t){_CALLS[each.code].format(*arguments)}"


def _value(arg: Arg) -> str:
    if arg.type is ArgType.VALUE:
        # With the cast, the compiler does not warn about an fd of -1.
        return f"(int64_t){arg.value & (1 << 64) - 1:#x}ull"
    base = "(uint64_t)s" if arg.type is ArgType.SCRATCH else f"(uint64_t)r[{arg.index}]"
    return f"({base} + {arg.value & (1 << 64) - 1:#x}ull)" if arg.value else base


def _bytes(data: bytes | bytearray) -> str:
    return '"' + "".join(f"\\x{each:02x}" for each in data) + '"'
