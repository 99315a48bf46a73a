# SPDX-License-Identifier: GPL-2.0-only
"""Makes pytest accept ``--kernel PATH`` like ``--kernel=PATH`` in a checkout of the suite.

pytest searches its configuration before it reads the conftest.py that defines a project's options, and treats the word
after an unknown option as a test path: ``pytest --kernel /elsewhere/Image`` would search pytest.ini and conftest.py in
/elsewhere.

The installed distribution registers this file as the pytest plugin ``kvm-hvc-arguments``. The file does not import the
rest of the suite. In other projects the plugin does nothing.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

WITH_PATH = ("--kernel", "--board", "--reports", "--baseline", "--services")
"""The suite's options whose value can be the name of a file or folder."""
_MARK = Path("helpers/command/kvm_hvc_arguments.py")


def joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with each option of ``WITH_PATH`` and its value as one word."""
    out: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        value = next(rest, None) if argument in WITH_PATH else None
        out.append(argument if value is None else f"{argument}={value}")
    return out


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Start pytest again with ``--kernel=PATH``. Raises pytest.UsageError if that is impossible.

    pytest calls this while it registers the plugin: before it reads any conftest.py, and before it captures output.
    """
    config = pluginmanager.get_plugin("pytestconfig")
    assert isinstance(config, pytest.Config)
    folder, arguments = config.invocation_params.dir, list(config.invocation_params.args)
    checkout = next((place for place in (folder, *folder.parents) if (place / _MARK).is_file()), None)
    if checkout is None:
        return
    own = _mistaken(arguments, folder, checkout)
    if own and sys.orig_argv[-len(arguments) :] == arguments:
        sys.stdout.flush()
        os.execv(sys.executable, [*sys.orig_argv[: -len(arguments)], *joined(arguments)])
    mistaken = [*own, *_mistaken(shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), folder, checkout)]
    if mistaken:
        option, value = mistaken[0]
        raise pytest.UsageError(f"pytest takes {value} after {option} for a test path. Write {option}={value}.")


def _mistaken(arguments: Sequence[str], folder: Path, checkout: Path) -> list[tuple[str, str]]:
    """The options with values that lead pytest out of the checkout. pytest ignores paths that do not exist."""

    def leads_out(value: str) -> bool:
        path = Path(os.path.normpath(folder / value))
        return path.exists() and not path.is_relative_to(checkout)

    return [(option, value) for option, value in pairwise(arguments) if option in WITH_PATH and leads_out(value)]
