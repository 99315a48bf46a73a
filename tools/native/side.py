# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tools.native.side PROGRAM``: the time of one register access on this arm64 machine.

PROGRAM is one_reg_loop. It and the suite's executor in this process make the same calls in turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

from helpers import build, guests
from helpers.contract.registers import MAINLINE
from helpers.identity import LOCAL
from helpers.kvm import Kvm, Vcpu
from helpers.kvm_program import KvmProgram
from helpers.progress import Progress
from helpers.subjects.choose import Means, make_subject

COUNT, TURNS = 10_000, 7
_REGISTER = MAINLINE.registers[0]
Append = Callable[[KvmProgram, Vcpu], object]


def _get(program: KvmProgram, vcpu: Vcpu) -> object:
    return program.get_reg(vcpu.fd, program.one_reg(_REGISTER))


def _set(program: KvmProgram, vcpu: Vcpu) -> object:
    return program.set_reg(vcpu.fd, program.one_reg(_REGISTER, 1))


def _listed(vcpu: Vcpu, append: Append) -> None:
    """COUNT accesses, each appended to the program, as in most tests."""
    program = KvmProgram()
    for _ in range(COUNT):
        append(program, vcpu)
    vcpu.vm.kvm.subject.run(program)


def _repeated(vcpu: Vcpu, append: Append) -> None:
    """One access that the program repeats COUNT times, as in races."""
    program = KvmProgram()
    with program.concurrently() as stage, stage.thread(repeat=COUNT):
        append(program, vcpu)
    vcpu.vm.kvm.subject.run(program)


def _kvm() -> Kvm:
    """/dev/kvm of this machine."""
    build.build_all()
    return Kvm(make_subject(LOCAL, Means(None, Progress())), guests.load_image(build.GUEST))


def main(loop: str) -> int:
    """Prints a line of JSON for each turn: the ns of one access by case. Exit status 0. Raises HarnessError."""
    with _kvm().create_vm() as vm:
        for _ in range(TURNS):
            words = subprocess.check_output([loop, str(COUNT)], text=True).split()
            ns = {"C loop, get": float(words[0]), "C loop, set": float(words[1])}
            for how, run in (("listed", _listed), ("repeated", _repeated)):
                for name, append in (("get", _get), ("set", _set)):
                    began = time.perf_counter()
                    run(vm.vcpu, append)
                    ns[f"{how}, {name}"] = (time.perf_counter() - began) * 1e9 / COUNT
            print(json.dumps(ns), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
