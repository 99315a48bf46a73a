# SPDX-License-Identifier: GPL-2.0-only
"""The names of subjects, and the combinations of what was asked for."""

from __future__ import annotations

import pytest

from helpers.errors import UsageError
from helpers.progress import Progress
from helpers.subjects import choose
from helpers.subjects.choose import Wanted, labels, wanted
from helpers.subjects.setting import PLAIN, Setting, setting_of, settings

SETTINGS = {
    "": PLAIN,
    " kvm-mode=nvhe": Setting("nvhe"),
    " cpu=max,pauth-impdef=on": Setting(cpu="max,pauth-impdef=on"),
    " kvm-mode=protected cpu=max args=nokaslr maxcpus=1": Setting("protected", "max", "nokaslr maxcpus=1"),
}


@pytest.mark.parametrize("suffix", SETTINGS)
def test_labels_are_taken_apart(suffix: str) -> None:
    setting = SETTINGS[suffix]
    assert setting.suffix == suffix
    assert setting_of(f"/a b/Image{suffix}") == ("/a b/Image", setting)
    whole = Wanted("debian:sid", "rfc-v3", "no-lock", setting)
    assert wanted(whole.label) == whole


def test_every_combination_once() -> None:
    found = labels(["a", "b", "a"], settings=settings(["vhe", "nvhe"], [], ["x", "y"]))
    assert found == tuple(f"{k} kvm-mode={m} args={a}" for k in "ab" for m in ("vhe", "nvhe") for a in "xy")


def test_nothing_is_planted_in_this_machine_or_in_a_file() -> None:
    with pytest.raises(UsageError, match="this machine"):
        choose.subject("local speaking rfc-v3", choose.Means(None, Progress()))


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("/a b", Wanted("/a b", "mainline", "")),
        ("debian:sid speaking rfc-v3", Wanted("debian:sid", "rfc-v3", "")),
        ("debian:sid with planted fault x-y", Wanted("debian:sid", "mainline", "x-y")),
        ("debian:sid speaking rfc-v3 with planted fault x", Wanted("debian:sid", "rfc-v3", "x")),
    ],
)
def test_labels_come_apart(label: str, parts: Wanted) -> None:
    assert wanted(label) == parts and parts.label == label


def test_labels_multiply() -> None:
    assert labels(["a", "b"], faults=["x", "y"]) == (
        "a with planted fault x", "a with planted fault y", "b with planted fault x", "b with planted fault y",
    )  # fmt: skip
    assert labels([], dialect="rfc-v3") == ("debian:stable speaking rfc-v3",)


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b"])
def test_what_is_no_board_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError, match="is no board"):
        choose.subject(f"board:{name}", choose.Means(None, Progress()))


def test_nothing_is_planted_on_a_board() -> None:
    assert choose.labels(["a"], ["root@b"], faults=["x"])[1] == "board:root@b with planted fault x"
    with pytest.raises(UsageError, match="Nothing is ever planted"):
        choose.subject("board:root@b with planted fault x", choose.Means(None, Progress()))
