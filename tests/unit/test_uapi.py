# SPDX-License-Identifier: GPL-2.0-only
"""Every constant and structure of helpers/uapi equals that of the kernel's arm64 headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.uapi import kvm
from tests.support.headers import NEWER, expressions, header_values, ours


def test_installed_headers_agree(tmp_path: Path) -> None:
    """tests/external compares NEWER: the headers of ``make setup`` are older."""
    wanted = {name: text for name, text in expressions().items() if not name.startswith(NEWER)}
    assert len(wanted) > 150
    assert header_values(tmp_path, wanted) == {name: ours()[name] for name in wanted}


@pytest.mark.parametrize("name", ["KVM_GET_DEVICE_ATTR", "KVM_IRQ_LINE", "KVM_EXIT_SYSTEM_EVENT"])
def test_a_wrong_constant_is_seen(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kvm, name, getattr(kvm, name) + 1)
    assert header_values(tmp_path, {name: expressions()[name]}) != {name: ours()[name]}
