# SPDX-License-Identifier: GPL-2.0-only
"""VMs with the features that a RunCase needs, and interrupt controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from helpers.kvm import Kvm, Vm
from suites.conftest import MakeVm
from suites.run.runs import RunCase
from suites.run.vgics import Vgics

MakeFor = Callable[[RunCase], Vm]


def need(kvm: Kvm, name: str, number: int) -> None:
    """Skips the test as not applicable if the capability is 0."""
    if kvm.check_extension(number) == 0:
        pytest.skip(f"not applicable, because {name} is 0")


@pytest.fixture
def make_for(kvm: Kvm, make_vm: MakeVm) -> MakeFor:
    """Makes VMs of two vCPUs with the features that a RunCase needs."""

    def make(run: RunCase) -> Vm:
        if run.capability:
            need(kvm, *run.capability)
        return make_vm(2, features=run.features)

    return make


@pytest.fixture
def vgics(kvm: Kvm) -> Iterator[Vgics]:
    """Creates GICv3s. They are closed before their VMs."""
    made = Vgics(kvm)
    yield made
    made.close()
