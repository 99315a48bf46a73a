# SPDX-License-Identifier: GPL-2.0-only
"""A kernel from a Debian mirror."""

from __future__ import annotations

from pathlib import Path

from helpers.subjects import images
from tests.support.kernels import resolve


def test_debian_stable_is_fetched_and_kept(tmp_path: Path) -> None:
    kernel, lines = resolve("debian:stable", tmp_path)
    assert kernel.label == "debian:stable"
    assert kernel.origin.startswith("linux-image-")
    assert images.is_raw_image(kernel.image.read_bytes()[:64])
    assert any(line.startswith("fetching linux-image-") for line in lines)
    again, lines = resolve("debian:stable", tmp_path)
    assert again == kernel
    assert not lines
