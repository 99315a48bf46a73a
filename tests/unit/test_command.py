# SPDX-License-Identifier: GPL-2.0-only
"""kvm-hvc-conformance: its subcommands, their wrong usage, and what pytest gets from ``run``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command.main import SUBCOMMANDS, main
from helpers.command.run import pytest_arguments
from helpers.version import suite_version
from tests.support import ROOT

SUITES = str(ROOT / "suites")
OWN = [f"--rootdir={ROOT}", "-c", str(ROOT / "pytest.ini")]


def _python(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**{name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}, **variables}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        ((), 4, "{doctor|run|report|diff|prove}"),
        (("frob",), 4, "doctor, run, report, diff, prove"),
        (("--frob",), 4, "unrecognized arguments: --frob"),
        (("report", "--frob", "log"), 4, "--junit FILE"),
        (("diff", "--frob", "a", "b"), 129, "--html FILE"),
        (("prove", "--frob"), 4, "--fault FAULT"),
    ],
)
def test_wrong_usage_names_what_there_is(
    words: tuple[str, ...], status: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == status
    assert named in capsys.readouterr().err.replace("'", "")


@pytest.mark.parametrize("words", [("--help",), *((name, "--help") for name in SUBCOMMANDS if name != "run")], ids=str)
def test_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: kvm-hvc-conformance {words[0] if len(words) > 1 else '[-h]'} ")
    assert len(words) > 1 or all(f"  {name}" in shown and each.summary in shown for name, each in SUBCOMMANDS.items())


TITLES = ("the kernel under test", "the verdict")


def test_help_of_run_is_pytests() -> None:
    done = _python("-m", "helpers.command", "run", "--help")
    assert done.returncode == 0 and done.stdout.startswith("kvm-hvc-conformance run: ")
    assert "--kernel=WHAT" in done.stdout and "--collect-only" in done.stdout
    # The headings that the first lines and docs/kernels.md name.
    assert all(re.search(f"^{title}[^\n]*:$", done.stdout, re.MULTILINE) for title in TITLES)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"kvm-hvc-conformance {suite_version()}\n"


def test_wrong_usage_of_run_is_pytests() -> None:
    done = _python("-m", "helpers.command", "run", "--frob")
    assert done.returncode == 4 and "unrecognized arguments: --frob" in done.stderr


def test_no_helper_imports_a_fault_but_by_the_table() -> None:
    done = _python("-c", "import sys, helpers.command.main; sys.exit(any(m.startswith('faults') for m in sys.modules))")
    assert done.returncode == 0, done


def test_run_in_the_checkout() -> None:
    assert pytest_arguments(["-k", "x"], ROOT) == [*OWN, "-k", "x"]
    assert pytest_arguments(["--kernel", "/a", "suites/lock"], ROOT) == [*OWN, "--kernel=/a", "suites/lock"]
    assert pytest_arguments(["-x"], ROOT / "suites/lock") == [*OWN, "-x"]
    assert pytest_arguments(["-x"], ROOT / "docs") == [*OWN, "-x", SUITES]


def test_run_elsewhere(tmp_path: Path) -> None:
    here = ["--reports=reports", "-o", f"cache_dir={tmp_path / '.pytest_cache'}"]
    assert pytest_arguments(["-k", "x"], tmp_path) == [*OWN, *here, "-k", "x", SUITES]
    named = f"{SUITES}/lock/test_lock.py::test_same_value"
    assert pytest_arguments([named], tmp_path) == [*OWN, *here, named]
    assert pytest_arguments(["suites/lock/test_lock.py::test_same_value"], tmp_path) == [*OWN, *here, named]
    (tmp_path / "suites/lock").mkdir(parents=True)
    assert pytest_arguments(["suites/lock"], tmp_path)[-2:] == ["suites/lock", SUITES]


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A kernel in another project's folder."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "Image").write_bytes(b"no kernel")
    return str(tmp_path / "Image")


@pytest.mark.parametrize("option", ["--kernel", "--baseline"])
def test_a_path_after_an_option(option: str, image: str) -> None:
    """By the plugin of the installed distribution: make setup, or pip install."""
    done = _python("-m", "pytest", option, image, "--collect-only", "-q", "suites/lock")
    wrong = 4 if option == "--baseline" else 0
    assert done.returncode == wrong and "unrecognized" not in done.stderr, done
    assert wrong or "suites/lock/test_lock.py::test_same_value" in done.stdout


def test_where_pytest_cannot_be_started_again(image: str) -> None:
    program = f"import pytest, sys; sys.exit(pytest.main(['--kernel', {image!r}]))"
    for done in (_python("-c", program), _python("-m", "pytest", PYTEST_ADDOPTS=f"--kernel {image}")):
        assert done.returncode == 4, done
        assert f"pytest takes {image} after --kernel for a test path. Write --kernel={image}." in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (("run",), 3, "INCONCLUSIVE: interrupted before the first test; nothing was measured\n"),
        (("report", "x.jsonl"), 130, "Interrupted.\n"),
    ],
)
def test_ctrl_c_while_modules_are_imported(words: tuple[str, ...], status: int, line: str, tmp_path: Path) -> None:
    """One line instead of a traceback. A module of the subcommand stands for Ctrl-C during its import."""
    for name in ("pytest", "jinja2"):
        (tmp_path / f"{name}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from helpers.command.__main__ import program; raise SystemExit(program())"
    done = _python("-c", code, *words, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (done.returncode, done.stderr) == (status, line)
