# SPDX-License-Identifier: GPL-2.0-only
"""The files of --services: what they add to the tables, and the line and the reason for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.contract.service_files import BUILT_IN, FunctionEntry, answer_of, read_tables
from helpers.errors import UsageError
from helpers.plugin.services import files
from tests.support import ROOT

EXAMPLE = ROOT / "docs" / "services-example.toml"
NEW_REGISTER = """[[register]]
name = "BMAP_4"
id = 0x6030000000160004

[[service]]
name = "FROB"
register = "BMAP_4"
bit = 0
reset = false
"""
U64 = (1 << 64) - 1
ANY = (0, U64)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_the_example_adds_a_bit_with_one_function() -> None:
    tables = read_tables((EXAMPLE,))
    (service,) = (each for each in tables.services if each.added)
    assert (service.register, service.name, service.bit, service.reset) == ("VENDOR_HYP", "FROB", 2, True)
    assert [function.id for function in service.function] == [0x86000002]
    assert not any(each.added for each in read_tables(()).services)


def test_a_file_can_add_a_register(tmp_path: Path) -> None:
    tables = read_tables((written(tmp_path, NEW_REGISTER),))
    assert tables.registers[-1].name == "BMAP_4" and not tables.services[-1].reset


MISTAKES = {
    "syntax": ("bit = 2", "bit = = 2", "line 8"),
    "unknown key": ("bit = 2", "bits = 2", "unknown keys: bits"),
    "no name": ('name = "FROB"\n', "", "it has no name"),
    "bit in use": ("bit = 2", "bit = 1", "VENDOR_HYP has PTP with this bit or name"),
    "bit too high": ("bit = 2", "bit = 64", "64 is not in 0..63"),
    "wrong type": ("bit = 2", 'bit = "2"', "Expected `int`"),
    "no such register": ('"VENDOR_HYP"', '"VENDOR"', "there is no register VENDOR"),
    "id in use": ("0x86000002", "0x86000001", "the name or the id of FROB_INFO is another function's"),
    "id too wide": ("0x86000002", "0x186000002", "does not fit in 32 bits"),
    "rule": ("[0, 0, 7]", '"frob"', "neither a list nor one of"),
    "constraint": ("[0, 0, 7]", '["x9 = 1"]', "'x9 = 1' is no constraint"),
    "empty range": ("[0, 0, 7]", '["x1 in 9..3"]', "has no value of 64 bits"),
    "five values": ("[0, 0, 7]", "[0, 0, 0, 0, 0]", "not up to four values"),
    "mixed": ("[0, 0, 7]", '[0, "x1 = 1"]', "not up to four values"),
    "conduit": ("answer = ", 'conduits = ["ERET"]\nanswer = ', "not among HVC, SMC"),
    "both": ("answer = ", "arguments = [1]\neach = [2]\nanswer = ", "or each instead"),
    "table": ("[[service]]", "[[services]]", "unknown tables: services"),
    "added": ("bit = 2", "bit = 2\nadded = false", "unknown keys: added"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_a_line_and_a_reason(mistake: str, tmp_path: Path) -> None:
    before, after, reason = MISTAKES[mistake]
    text = EXAMPLE.read_text()
    assert before in text
    path = written(tmp_path, text.replace(before, after, 1))
    with pytest.raises(UsageError) as raised:
        read_tables((path,))
    message = str(raised.value)
    assert reason in message and str(path) in message and "line" in message and "docs/services.md" in message


def test_the_line_is_that_of_the_key(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("[0, 0, 7]", '"frob"')
    with pytest.raises(UsageError) as raised:
        read_tables((written(tmp_path, text),))
    number = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("answer"))
    assert f"line {number}," in str(raised.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_tables((tmp_path / "none.toml",))


@pytest.mark.parametrize(
    ("answer", "limits"),
    [
        ((), ((0, 0),) * 4),
        ((1, -1), ((1, 1), (U64, U64), (0, 0), (0, 0))),
        (("x0 = 0", "x1 in 0..0x3f"), ((0, 0), (0, 63), ANY, ANY)),
    ],
)
def test_answers(answer: tuple[int | str, ...], limits: object) -> None:
    assert answer_of(FunctionEntry("F", 1, answer=answer)) == limits


def test_the_option_in_a_command_line() -> None:
    assert files(["-q", "--services", "a", "--services=b", "-x"]) == ["b", "a"]


def test_the_tables_of_a_process_with_the_option() -> None:
    """The tables are made on import, so this needs a separate process."""
    program = """
from helpers.contract.functions import ADDED, FUNCTIONS, Situation
from helpers.contract.migration import GUEST_VIEW
from helpers.contract.arguments import NEAR_MISSES, UNASSIGNED
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.registers import MAINLINE
(row,) = ADDED
vendor = MAINLINE.register("VENDOR_HYP")
assert (vendor.mask, vendor.reset, vendor.bit("FROB")) == (7, 7, 4), vendor
assert row in FUNCTIONS and row in GUEST_VIEW and row.name in CALLEES
assert row.id not in UNASSIGNED and row.id not in NEAR_MISSES.values()
on, off = (Situation(MAINLINE, {"VENDOR_HYP": value}, True, None) for value in (4, 3))
assert row.expected(on) == (0, 0, 7, 0) and row.expected(off)[0] == (1 << 64) - 1
"""
    environment = {**os.environ, "KVM_HVC_SERVICES": str(EXAMPLE), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_built_in_file_has_no_mistake() -> None:
    assert BUILT_IN.exists() and len(read_tables(()).registers) == 7
