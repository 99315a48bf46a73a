# SPDX-License-Identifier: GPL-2.0-only
"""Whether a session runs the complete suites or a part, from pytest's options, which xdist's controller also has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

SUITES = "suites"
DESELECTED = pytest.StashKey[int]()
"""The number of tests of the suites that a plugin or a conftest.py deselected (helpers/recording/deselected.py)."""
BY_TIER = pytest.StashKey[bool]()
"""In the stash of a deselected test: --tier excluded it."""

# Options that exclude tests, as (attribute of config.option, spelling). --ff and --nf only reorder.
_LISTS = (("deselect", "--deselect"), ("ignore", "--ignore"), ("ignore_glob", "--ignore-glob"))
_TEXTS = (("keyword", "-k"), ("markexpr", "-m"))
_FULL = "full"
_FLAGS = (("lf", "--lf"), ("stepwise", "--stepwise"), ("stepwise_skip", "--stepwise-skip"))

# Options with which pytest only shows information, and options with which it runs only fixtures.
_SHOWS = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow", "markers", "help")
_SETUP = ("setupplan", "setuponly")


def only_shows(config: pytest.Config) -> bool:
    """Whether the session runs no test (--collect-only, --fixtures, --setup-plan)."""
    return any(getattr(config.option, name, False) for name in (*_SHOWS, *_SETUP))


def suite_root(config: pytest.Config) -> Path:
    """The folder with suites/ and the conftest.py that loads this package, or pytest's root if there is none."""
    conftests = (each for each in config.pluginmanager.get_plugins() if __package__ in _packages(each))
    return next((Path(str(each.__file__)).parent for each in conftests), config.rootpath)


def _packages(plugin: object) -> set[str]:
    """The packages of the modules that a conftest.py names as plugins."""
    return {str(name).rpartition(".")[0] for name in getattr(plugin, "pytest_plugins", ())}


def touches_suites(config: pytest.Config) -> bool:
    """Whether the paths on the command line (or testpaths) can lead to a test under suites/."""
    suites = (suite_root(config) / SUITES).resolve()
    paths = [_resolved(config, arg) for arg in config.args]
    return any(suites in (path, *path.parents) or path in suites.parents for path in paths)


def is_suite(nodeid: str) -> bool:
    """Whether a node id belongs to suites/, not to the harness's own tests."""
    return nodeid.startswith(f"{SUITES}/")


def tier_option(name: str) -> str:
    """The selection text of a run in which only --tier excludes tests."""
    return f"--tier {name}"


def deselected(config: pytest.Config) -> int:
    """The number of deselected tests of the suites; with xdist, 0 until the first worker has ended."""
    return config.stash.get(DESELECTED, 0)


def selection(config: pytest.Config) -> str | None:
    """The arguments that exclude tests of the suites, as given; None if the complete suites run."""
    parts = [*_narrower_paths(config), *_options(config)]
    if not parts and deselected(config):
        parts = [f"{deselected(config)} deselected"]
    tier = getattr(config.option, "tier", _FULL)
    if tier != _FULL:
        parts.append(tier_option(tier))
    return " ".join(parts) or None


def _options(config: pytest.Config) -> Iterator[str]:
    for name, spelling in (*_TEXTS, *_LISTS):
        value = getattr(config.option, name, None) or ()
        for each in (value,) if isinstance(value, str) else value:
            yield f"{spelling} {_quoted(str(each))}"
    for name, spelling in _FLAGS:
        if getattr(config.option, name, False):
            yield spelling


def _narrower_paths(config: pytest.Config) -> list[str]:
    """The path arguments, unless one of them is suites/ itself or a folder above it."""
    suites = (suite_root(config) / SUITES).resolve()
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return []
    whole = [_resolved(config, arg) for arg in config.args if "::" not in arg]
    if any(path == suites or path in suites.parents for path in whole):
        return []
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        root = suite_root(config)
        return [str(Path(arg).relative_to(root)) if Path(arg).is_relative_to(root) else arg for arg in config.args]
    return list(config.args)


def _resolved(config: pytest.Config, arg: str) -> Path:
    """The path of an argument, which is relative to the folder where pytest was started."""
    return (config.invocation_params.dir / arg.split("::")[0]).resolve()


def _quoted(text: str) -> str:
    return f"'{text}'" if " " in text else text
