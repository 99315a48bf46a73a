# SPDX-License-Identifier: GPL-2.0-only
"""Subjects are values: their labels, the node ids that show them, and the labels in old logs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from helpers.identity import LOCAL, BootVariant, Identity, MigrationId, OldLabel, Reach, SubjectId
from helpers.progress import Progress
from helpers.results.nodeids import NodeIds, parameter_word, without_subject
from helpers.subjects import choose, qemu
from helpers.subjects.cpu_models import CpuModel
from tests.support.kernels import arm64_image

ODD = "odd cpu=x args=y dialect=z with planted fault w -> [v]-STD"
"""A folder whose name looks like everything that a label can hold."""
SID, OTHER = SubjectId("debian-sid"), SubjectId("debian")
LABELS: dict[str, Identity] = {
    "local": LOCAL,
    "board:root@b": SubjectId("root@b", Reach.BOARD),
    "labgrid:rock5": SubjectId("rock5", Reach.LABGRID),
    "debian:sid kvm-mode=protected cpu=max args=nokaslr maxcpus=1": SubjectId(
        "debian:sid", variant=BootVariant("protected", "max", "nokaslr maxcpus=1")
    ),
    "debian:sid dialect=rfc-v3": SubjectId("debian:sid", dialect="rfc-v3"),
    "debian:sid cpu=max dialect=rfc-v3 with planted fault x-y": SubjectId(
        "debian:sid", dialect="rfc-v3", fault="x-y", variant=BootVariant(cpu="max")
    ),
    "debian:sid with planted fault none,20": SubjectId("debian:sid", fault="none", control=20),
    f"/{ODD}/Image": SubjectId(f"/{ODD}/Image"),
    "migration debian -> debian-sid": MigrationId(OTHER, SID),
    "unknown subject": OldLabel("unknown subject"),
}


@pytest.mark.parametrize("label", LABELS)
def test_labels(label: str) -> None:
    assert LABELS[label].label == label


@pytest.mark.parametrize("label", LABELS)
def test_identities_survive_json(label: str) -> None:
    text = msgspec.json.encode(LABELS[label])
    assert msgspec.json.decode(text, type=Identity) == LABELS[label]


def test_a_kernel_at_an_odd_path_is_the_one_that_is_booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "choose_cpu", lambda *_: CpuModel("max", "a test"))
    for folder in (tmp_path / ODD, tmp_path / "odd"):
        folder.mkdir()
        (folder / "Image").write_bytes(arm64_image())
    path = tmp_path / ODD / "Image"
    (subject_id,) = choose.subject_ids([str(path)])
    subject = choose.make_subject(subject_id, choose.Means(None, Progress()))
    machine = subject._machine  # type: ignore[attr-defined]
    assert machine.kernel.image == path and machine.id == SubjectId(str(path))
    assert subject.label == str(path)


NODE_IDS: dict[str, Identity | None] = {
    "suites/a.py::b[debian-sid-PTP]": SID,
    "suites/a.py::b[PTP-debian]": OTHER,
    "suites/a.py::b[PTP]": None,
    "suites/debian.py::b": None,
    f"suites/a.py::b[/{ODD}/Image-PTP]": SubjectId(f"/{ODD}/Image"),
    f"suites/a.py::b[PTP-/{ODD}/Image]": SubjectId(f"/{ODD}/Image"),
    "suites/a.py::b[debian->debian-sid-PTP]": MigrationId(OTHER, SID),
    f"suites/a.py::b[debian->/{ODD}/Image]": MigrationId(OTHER, SubjectId(f"/{ODD}/Image")),
    "suites/a.py::b[\\xe4-PTP]": SubjectId("ä"),
}


@pytest.mark.parametrize("nodeid", NODE_IDS)
def test_subject_of_a_node_id(nodeid: str) -> None:
    node_ids = NodeIds((OTHER, SID, SubjectId(f"/{ODD}/Image"), SubjectId("ä")))
    assert node_ids.subject_of(nodeid) == NODE_IDS[nodeid]


def test_the_only_subject_is_not_in_node_ids() -> None:
    assert NodeIds((SID,)).subject_of("suites/a.py::b[x]") == SID


def test_two_subjects_of_one_label_are_not_confused() -> None:
    twins = SubjectId("Image cpu=max"), SubjectId("Image", variant=BootVariant(cpu="max"))
    assert NodeIds(twins).subject_of(f"suites/a.py::b[{twins[0].label}]") is None


@pytest.mark.parametrize("subject", [SID, SubjectId(f"/{ODD}/Image"), SubjectId("ä"), OldLabel(f"/{ODD}/Image")])
def test_a_node_id_without_its_subject(subject: Identity) -> None:
    word = parameter_word(subject).encode("unicode_escape").decode()
    assert without_subject(f"suites/a.py::t[{word}-STD]", subject) == "suites/a.py::t[STD]"
    assert without_subject(f"suites/a.py::t[STD-{word}]", subject) == "suites/a.py::t[STD]"
    assert without_subject(f"suites/a.py::t[{word}]", subject) == "suites/a.py::t"
    assert without_subject("suites/a.py::t[STD]", subject) == "suites/a.py::t[STD]"
    assert without_subject("suites/a.py::t", None) == "suites/a.py::t"
