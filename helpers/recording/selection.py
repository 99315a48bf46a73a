# SPDX-License-Identifier: GPL-2.0-only
"""Was all of the suites asked for, or a part? Told from pytest's options: xdist's controller has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

SUITES = "suites"

# Options that leave tests out, as (attribute of config.option, spelling). --ff and --nf only reorder.
_LISTS = (("deselect", "--deselect"), ("ignore", "--ignore"), ("ignore_glob", "--ignore-glob"))
_TEXTS = (("keyword", "-k"), ("markexpr", "-m"))
_FLAGS = (
    ("lf", "--lf"),
    ("stepwise", "--stepwise"),
    ("stepwise_skip", "--stepwise-skip"),
)

# Options with which pytest shows something and runs no test, or only parts of one.
_SHOWS = (
    "collectonly",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
    "setupplan",
    "setuponly",
    "markers",
    "help",
)


def only_shows(config: pytest.Config) -> bool:
    """True if no test is to be run at all (--collect-only, --fixtures, --setup-plan)."""
    return any(getattr(config.option, name, False) for name in _SHOWS)


def touches_suites(config: pytest.Config) -> bool:
    """True if the paths on the command line (or testpaths) can lead to a test under suites/."""
    suites = (config.rootpath / SUITES).resolve()
    return any(suites in (path, *path.parents) or path in suites.parents for path in _paths(config))


def is_suite(nodeid: str) -> bool:
    """True for a node id of the suites; false for one of the harness's own tests."""
    return nodeid.startswith(f"{SUITES}/")


def selection(config: pytest.Config, deselected: int = 0) -> str | None:
    """What narrows this run, as the person wrote it; None if all of the suites is to be run."""
    parts = [*_narrower_paths(config), *_options(config)]
    if not parts and deselected:
        parts = [f"{deselected} deselected"]
    return " ".join(parts) or None


def _options(config: pytest.Config) -> Iterator[str]:
    for name, spelling in _TEXTS:
        text = getattr(config.option, name, "")
        if text:
            yield f"{spelling} {_quoted(text)}"
    for name, spelling in _LISTS:
        for value in getattr(config.option, name, None) or ():
            yield f"{spelling} {_quoted(str(value))}"
    for name, spelling in _FLAGS:
        if getattr(config.option, name, False):
            yield spelling


def _narrower_paths(config: pytest.Config) -> list[str]:
    """The arguments, unless one of them is suites/ itself or a folder above it."""
    suites = (config.rootpath / SUITES).resolve()
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return []
    whole = [_resolved(config, arg) for arg in config.args if "::" not in arg]
    if any(path == suites or path in suites.parents for path in whole):
        return []
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        return [_relative(Path(arg), config.rootpath) for arg in config.args]
    return list(config.args)


def _resolved(config: pytest.Config, arg: str) -> Path:
    """Arguments are relative to the folder where pytest was called."""
    return (config.invocation_params.dir / arg.split("::")[0]).resolve()


def _paths(config: pytest.Config) -> list[Path]:
    return [_resolved(config, arg) for arg in config.args]


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _quoted(text: str) -> str:
    return f"'{text}'" if " " in text else text
