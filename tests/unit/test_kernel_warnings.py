# SPDX-License-Identifier: GPL-2.0-only
"""Warnings as kernels write them, and which of them concern KVM."""

from __future__ import annotations

from textwrap import dedent

import pytest

from helpers.subjects.kernel_warnings import KernelWarning, warnings_in

TASKS = ("khx",)
IDLE = """
 el1h_64_irq_handler+0x18/0x24
 el1h_64_irq+0x64/0x68
 cpuidle_enter_state+0xac/0x31c
 psci_enter_idle_state+0x34/0x4c
"""
IOCTL = """ kvm_vcpu_ioctl+0x1a8/0x8e0
 __arm64_sys_ioctl+0xb4/0x100
 invoke_syscall+0x48/0x114
 el0_svc+0x34/0xf0
"""
WARN = """
------------[ cut here ]------------
WARNING: CPU: 1 PID: {pid} at {place} {function}+0x10c/0x1f0
Modules linked in: vhost_kvm ptp_kvm virtio_net
CPU: 1 UID: 0 PID: {pid} Comm: {comm} Not tainted 6.12.107+deb13-arm64 #1
Hardware name: QEMU KVM Virtual Machine, BIOS 2024.02-2 03/11/2024
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : {function}+0x10c/0x1f0
lr : {function}+0xfc/0x1f0
sp : ffff800082e8bd10
x29: ffff800082e8bd10 x28: 0000000000000000 x27: 0000000000000000
Call trace:
 {function}+0x10c/0x1f0
{rest}
---[ end trace 0000000000000000 ]---
"""
NEW_WARN = """
------------[ cut here ]------------
WARNING: {place} at {function}+0x10c/0x1f0, CPU#0: {comm}/{pid}
Modules linked in:
CPU: 0 UID: 0 PID: {pid} Comm: {comm} Not tainted 7.2.13-arm64 #1 PREEMPT
Call trace:
 {function}+0x10c/0x1f0 (P)
{rest}
---[ end trace 0000000000000000 ]---
"""


def text(form: str = WARN, *, place: str, function: str, comm: str = "kworker/1:2", rest: str) -> str:
    return form.format(pid=95, place=place, function=function, comm=comm, rest=rest.strip("\n"))


OF_KVM = {
    "its own file": text(place="arch/arm64/kvm/arm.c:123", function="check", comm="khx", rest=IOCTL),
    "the new form": text(NEW_WARN, place="arch/arm64/kvm/arm.c:123", function="check", comm="khx", rest=IOCTL),
    "an allocation for it": text(place="mm/page_alloc.c:4520", function="__alloc_pages", comm="khx", rest=IOCTL),
    "its own interrupt": text(
        place="virt/kvm/kvm_main.c:1", function="kvm_arch_timer_handler", comm="swapper/1", rest=IDLE
    ),
    "vgic in a worker": text(place="kernel/irq/manage.c:9", function="irq_x", rest=" vgic_v4_teardown+0x1/0x2"),
    "an ioctl of the executor": text(
        place="lib/refcount.c:28", function="refcount_warn", comm="khx", rest=" __arm64_sys_ioctl+0xb4/0x100"
    ),
    "no trace": "WARNING: CPU: 1 PID: 9 at drivers/net/x.c:1 x+0x1/0x2\nCPU: 1 PID: 9 Comm: kworker/1:2",
    "an oops": """
        Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
        Mem abort info:
          ESR = 0x0000000096000044
        Internal error: Oops: 0000000096000044 [#1] SMP
        CPU: 0 UID: 0 PID: 1 Comm: init Not tainted 6.12.107+deb13-arm64 #1
        pc : kvm_arm_set_fw_reg+0x1c/0x30
        Call trace:
         kvm_arm_set_fw_reg+0x1c/0x30
         kvm_vcpu_ioctl+0x1a8/0x8e0
        ---[ end trace 0000000000000000 ]---
        """,
    "lockdep": """
        ======================================================
        WARNING: possible circular locking dependency detected
        6.12.107 #1 Not tainted
        ------------------------------------------------------
        khx/95 is trying to acquire lock:
        ffff0000c1a0e0c0 (&kvm->arch.config_lock){+.+.}-{3:3}, at: set_bitmap+0x48/0xd0
        but task is already holding lock:
        ffff0000c1a0e120 (&vcpu->mutex){+.+.}-{3:3}, at: x_ioctl+0x80/0x8e0
        stack backtrace:
        CPU: 0 UID: 0 PID: 95 Comm: khx Not tainted 6.12.107 #1
        Call trace:
         dump_backtrace+0x94/0x114
         __lock_acquire+0x138c/0x20b0
        """,
    "KASAN of its memory": """
        ==================================================================
        BUG: KASAN: slab-use-after-free in list_del+0x10/0x20
        Read of size 8 at addr ffff0000c1a0e0c0 by task kworker/0:1/33
        CPU: 0 UID: 0 PID: 33 Comm: kworker/0:1 Not tainted 6.12.107 #1
        Call trace:
         dump_backtrace+0x94/0x114
         list_del+0x10/0x20
        Freed by task 95:
         kfree+0x10/0x20
         kvm_arch_destroy_vm+0x10/0x20
        """,
    "UBSAN": """
        UBSAN: shift-out-of-bounds in arch/arm64/kvm/hypercalls.c:12:3
        CPU: 0 UID: 0 PID: 95 Comm: x Not tainted 6.12.107 #1
        Call trace:
         dump_backtrace+0x94/0x114
         __ubsan_handle_shift_out_of_bounds+0x10/0x20
        """,
    "the hypervisor": "kvm [95]: nVHE hyp BUG at: [<ffff8000814d3a44>] __x+0x0/0x4!\nCall trace:\n x+0x1/0x2",
    "a stalled ioctl": """
        rcu: INFO: rcu_preempt self-detected stall on CPU
        rcu:         0-....: (5250 ticks this GP) idle=1c64/1/0x4000000000000000
        CPU: 0 UID: 0 PID: 95 Comm: khx Not tainted 6.12.107 #1
        Call trace:
         rcu_dump_cpu_stacks+0xc4/0x100
         el1h_64_irq_handler+0x18/0x24
         el1h_64_irq+0x64/0x68
         kvm_vcpu_ioctl+0x1a8/0x8e0
        """,
    "a soft lockup in the executor": """
        watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [khx:95]
        CPU: 0 UID: 0 PID: 95 Comm: khx Not tainted 6.12.107 #1
        Call trace:
         el1h_64_irq+0x64/0x68
         smp_call_function_many_cond+0x1a8/0x8e0
         __arm64_sys_ioctl+0xb4/0x100
        """,
}
OF_OTHERS = {
    "a worker": text(
        place="drivers/net/x.c:77", function="x_poll", rest=" process_one_work+0x170/0x3e4\n worker_thread+0x2cc/0x3d4"
    ),
    "the new form": text(NEW_WARN, place="drivers/net/x.c:77", function="x_poll", rest=" worker_thread+0x2cc/0x3d4"),
    "an interrupt of the idle task": text(
        place="drivers/net/x.c:77", function="x_irq", comm="swapper/1", rest=IDLE
    ),
    "an interrupt of the executor's ioctl": text(
        place="drivers/net/x.c:77", function="x_irq", comm="khx",
        rest=" __handle_irq_event_percpu+0x5c/0x220\n el1h_64_irq+0x64/0x68\n" + IOCTL,
    ),
    "another call of the executor": text(
        place="drivers/char/x.c:7", function="x_write", comm="khx", rest=" __arm64_sys_write+0x1/0x2"
    ),
    "another program's ioctl": text(
        place="drivers/gpu/x.c:7", function="x_ioctl", comm="Xorg", rest=" __arm64_sys_ioctl+0xb4/0x100"
    ),
    "WARN() with a text": text(
        place="lib/kobject.c:640", function="kobject_get", comm="another", rest=" kthread+0xe0/0xe4"
    ).replace("---\nWARN", "---\nkobject: 'x' (00000000c1a0e0c0): is not initialized\nWARN", 1),
    "a large allocation": text(
        place="mm/util.c:665", function="__kvmalloc_node_noprof", rest=" bpf_check+0x1/0x2\n kvmemdup+0x1/0x2"
    ),
    "another's oops": """
        Unable to handle kernel paging request at virtual address ffff800081000000
        Mem abort info:
        Internal error: Oops: 0000000096000047 [#1] SMP
        Modules linked in: kvm_x
        CPU: 0 UID: 0 PID: 33 Comm: kworker/0:1 Not tainted 6.12.107 #1
        pc : x_work+0x1c/0x30
        Call trace:
         x_work+0x1c/0x30
         process_one_work+0x170/0x3e4
        Code: aa0003f3 f9400000
        ---[ end trace 0000000000000000 ]---
        """,
    "a task that hangs": """
        INFO: task kworker/0:1:33 blocked for more than 120 seconds.
              Not tainted 6.12.107 #1
        task:kworker/0:1     state:D stack:0     pid:33    tgid:33    ppid:2      flags:0x00000008
        Call trace:
         __switch_to+0xe8/0x160
         x_flush+0x10/0x20
        """,
    "a stall of a slow machine": """
        rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
        Sending NMI from CPU 0 to CPUs 1:
        Call trace:
         cpuidle_enter_state+0xac/0x31c
        """,
}  # fmt: skip


def parsed(form: str) -> KernelWarning:
    (warning,) = warnings_in(dedent(form).strip("\n").splitlines())
    return warning


@pytest.mark.parametrize("form", OF_KVM.values(), ids=OF_KVM)
def test_a_warning_that_concerns_kvm(form: str) -> None:
    assert parsed(form).concerns_kvm(TASKS)


@pytest.mark.parametrize("form", OF_OTHERS.values(), ids=OF_OTHERS)
def test_a_warning_of_other_code(form: str) -> None:
    assert not parsed(form).concerns_kvm(TASKS)


def test_each_of_several_warnings_is_judged_for_itself() -> None:
    forms = (OF_OTHERS["a worker"], OF_KVM["its own file"], OF_OTHERS["another's oops"], OF_KVM["lockdep"])
    lines = [line for form in forms for line in ["x: link is up", *dedent(form).strip("\n").splitlines()]]
    warnings = warnings_in(lines)
    assert [each.concerns_kvm(TASKS) for each in warnings] == [False, True, False, True]


@pytest.mark.parametrize("name", ["a worker", "the new form", "WARN() with a text"])
def test_two_occurrences_have_one_title(name: str) -> None:
    form = OF_OTHERS[name]
    title, again = parsed(form).title, parsed(form.replace("95", "7").replace("CPU: 1", "CPU: 0")).title
    assert title == again and title.startswith("WARNING: ") and ".c:" in title and "CPU" not in title


def test_a_log_without_a_warning() -> None:
    assert warnings_in(["Booting", "kvm [1]: Hyp mode initialized successfully", "Call trace:"]) == ()
