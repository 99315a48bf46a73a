# SPDX-License-Identifier: GPL-2.0-only
"""The choice of QEMU's CPU model by the page size of the Image. A script answers in the place of QEMU."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from helpers.errors import HarnessError, UsageError
from helpers.subjects.cpu_models import MODELS, choose_cpu
from tests.support.kernels import arm64_image

EVERY_SIZE, NO_16K, NO_4K_NO_64K = 0x22200101126, 0x1122, 0xFF100000
"""ID_AA64MMFR0_EL1 of QEMU 7.2's max, of its a64fx, and of a CPU with 16K pages only."""
NONE, K4, K16, K64 = 0, 2, 4, 6
"""Flags of the Image header."""

Make = Callable[[Mapping[str, int]], str]


@pytest.fixture
def qemu(tmp_path: Path) -> Make:
    """Makes a program with these models, which prints their ID_AA64MMFR0_EL1."""

    def make(models: Mapping[str, int]) -> str:
        script = tmp_path / "qemu"
        octal = {
            name: "".join(f"\\{byte:03o}" for byte in mmfr0.to_bytes(8, "little")) for name, mmfr0 in models.items()
        }
        cases = "".join(f"'{name}') printf '{text}';;\n" for name, text in octal.items())
        script.write_text(
            f'#!/bin/sh\ncase "$4" in\n{cases}*) echo "unable to find CPU model \'$4\'" >&2; exit 1;;\nesac\n'
        )
        script.chmod(stat.S_IRWXU)
        return str(script)

    return make


@pytest.fixture
def image(tmp_path: Path) -> Callable[[int], Path]:
    def make(flags: int) -> Path:
        (tmp_path / "Image").write_bytes(arm64_image(flags=flags))
        return tmp_path / "Image"

    return make


@pytest.mark.parametrize(("flags", "pages"), [(NONE, "without a page size"), (K4, "4K"), (K16, "16K"), (K64, "64K")])
def test_the_default_has_every_page_size(flags: int, pages: str, qemu: Make, image: Callable[[int], Path]) -> None:
    chosen = choose_cpu(qemu({MODELS[0]: EVERY_SIZE}), image(flags), "")
    assert chosen.name == MODELS[0] and pages in chosen.reason


def test_a_qemu_without_a_property_of_the_first_default(qemu: Make, image: Callable[[int], Path]) -> None:
    assert choose_cpu(qemu({MODELS[1]: EVERY_SIZE}), image(K16), "").name == MODELS[1]


def test_a_qemu_whose_defaults_lack_the_page_size(qemu: Make, image: Callable[[int], Path]) -> None:
    path = qemu(dict.fromkeys(MODELS, NO_16K))
    assert choose_cpu(path, image(K64), "").name == MODELS[0]
    with pytest.raises(
        HarnessError, match=r"cannot boot an Image with 16K pages.*do not have that page size.*QEMU 7\.0"
    ):
        choose_cpu(path, image(K16), "")


def test_an_explicit_model_wins(qemu: Make, image: Callable[[int], Path]) -> None:
    chosen = choose_cpu(qemu({"a64fx": NO_16K, MODELS[0]: EVERY_SIZE}), image(K4), "a64fx")
    assert (chosen.name, chosen.reason) == ("a64fx", "--cpu")


@pytest.mark.parametrize(
    ("flags", "mmfr0", "why"),
    [
        (K16, NO_16K, "built for 16K pages; QEMU's some has 4K and 64K pages"),
        (K64, NO_4K_NO_64K, "built for 64K pages; QEMU's some has 16K pages"),
        (K4, NO_4K_NO_64K, "built for 4K pages"),
    ],
)
def test_an_explicit_model_without_the_page_size(
    flags: int, mmfr0: int, why: str, qemu: Make, image: Callable[[int], Path]
) -> None:
    with pytest.raises(UsageError, match=f"cannot boot with --cpu=some.*{why}.*Omit --cpu"):
        choose_cpu(qemu({"some": mmfr0}), image(flags), "some")


def test_an_unknown_model(qemu: Make, image: Callable[[int], Path]) -> None:
    with pytest.raises(UsageError, match=r"--cpu=typo: unable to find CPU model 'typo'.*-cpu help"):
        choose_cpu(qemu({}), image(K4), "typo")


def test_a_qemu_that_fails(qemu: Make, image: Callable[[int], Path]) -> None:
    with pytest.raises(HarnessError, match=r"cannot boot an Image with 4K pages.*unable to find CPU model"):
        choose_cpu(qemu({}), image(K4), "")
