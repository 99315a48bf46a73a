# SPDX-License-Identifier: GPL-2.0-only
"""Several subjects in one session: every combination of the options once, and subjects without planted faults."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from helpers.errors import UsageError
from helpers.identity import LOCAL, Reach, SubjectId
from helpers.progress import Progress
from helpers.subjects import choose
from helpers.subjects.choose import boot_variants, subject_ids


def test_every_combination_once() -> None:
    subjects = subject_ids(["a", "b", "a"], variants=boot_variants(["vhe", "nvhe"], [], ["x", "y"]))
    labels = [f"{k} kvm-mode={m} args={a}" for k in "ab" for m in ("vhe", "nvhe") for a in "xy"]
    assert [each.label for each in subjects] == labels
    subjects = subject_ids(["a"], variants=boot_variants([], ["max"], [], ["-smp 2", "-smp 4"]))
    labels = [f"a cpu=max qemu=-smp {n}" for n in (2, 4)]
    assert [each.label for each in subjects] == labels


def test_nothing_is_planted_in_this_machine_or_in_a_file() -> None:
    with pytest.raises(UsageError, match="this machine"):
        choose.make_subject(replace(LOCAL, dialect="rfc-v3"), choose.Means(None, Progress()))


def test_faults_multiply_kernels() -> None:
    subjects = subject_ids(["a", "b"], plants=[("x", None), ("none", 20)])
    assert [each.label for each in subjects] == [f"{k} with planted fault {f}" for k in "ab" for f in ("x", "none,20")]
    assert subject_ids([], dialect="rfc-v3") == (SubjectId("debian:stable", dialect="rfc-v3"),)


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b"])
def test_what_is_no_board_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError, match="is no board"):
        choose.make_subject(SubjectId(name, Reach.BOARD), choose.Means(None, Progress()))


def test_nothing_is_planted_on_a_board() -> None:
    planted = subject_ids(["a"], ["root@b"], plants=[("x", None)])[1]
    assert planted.label == "board:root@b with planted fault x"
    with pytest.raises(UsageError, match="Nothing can be planted"):
        choose.make_subject(planted, choose.Means(None, Progress()))
