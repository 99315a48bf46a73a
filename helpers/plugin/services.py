# SPDX-License-Identifier: GPL-2.0-only
"""The option --services. Read before any other module of the plugin, because they build their tables on import."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from itertools import pairwise

import pytest

from helpers.errors import UsageError

OPTION = "--services"
GROUP = ("subject", "the kernel under test")
"""The name and the title of the group in --help. pytest takes the title from the first call of getgroup."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Reads the files. Raises pytest.UsageError with the line and the reason."""
    group = parser.getgroup(*GROUP)
    group.addoption(
        OPTION,
        action="append",
        default=[],
        metavar="FILE",
        help="also test the services that FILE describes (docs/services.md); repeatable",
    )
    config = pluginmanager.get_plugin("pytestconfig")
    assert isinstance(config, pytest.Config)
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    try:
        _read([str(config.invocation_params.dir / name) for name in files(words)])
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def files(words: Sequence[str]) -> list[str]:
    """The option's values in a command line."""
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{OPTION}=")]
    return [*joined, *(value for option, value in pairwise(words) if option == OPTION)]


def _read(paths: list[str]) -> None:
    # xdist's workers do not get the option, but they inherit the environment.
    if paths:
        os.environ["KVM_HVC_SERVICES"] = os.pathsep.join(paths)
    from helpers.contract import service_files

    # If the tables were built from other files, as in a test of the harness, this does not change them.
    service_files.read_tables(service_files.paths())
