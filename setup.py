# SPDX-License-Identifier: GPL-2.0-only
"""The wheel: this tree below one name, kvm_hvc_conformance, with what helpers/build.py makes of the C sources.

The metadata are in pyproject.toml. tests/support/native_vm.py shows how a wheel for arm64 is made elsewhere. With
SOURCE_DATE_EPOCH, two builds by the same compiler and packages give the same bytes.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
import tarfile
from pathlib import Path
from typing import Any

from setuptools import Command, find_namespace_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel as BdistWheel
from setuptools.command.build import build as Build
from setuptools.command.build_py import build_py as BuildPy
from setuptools.command.sdist import sdist as Sdist
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent
# setuptools runs this file as it is, without its folder on the path.
sys.path.insert(0, str(ROOT))

from helpers import build  # noqa: E402
from helpers.errors import HarnessError  # noqa: E402

ROOMS = ["helpers", "helpers.*", "suites", "suites.*", "faults", "faults.*"]
FOLDERS = ("guest_asm", "helpers", "suites", "faults")
EPOCH = os.environ.get("SOURCE_DATE_EPOCH")
# Everything that is not Python: templates, style sheets, C sources.
FILES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
DATA = ["pytest.ini", *(str(path.relative_to(ROOT)) for path in FILES if path.suffix not in (".py", ".pyc"))]


class BuildArtefacts(Command):
    """The executor, in its three homes, and the guest."""

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        # From an editable installation the suite builds into the checkout by itself.
        if self.editable_mode or self.build_lib is None:
            return
        try:
            build.build_all(Path(self.build_lib) / build.PACKAGE / build.FOLDER)
        except HarnessError as error:
            sys.exit(str(error))

    def get_source_files(self) -> list[str]:
        return []

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class BuildAll(Build):
    """With the artefacts, and with nothing of an earlier build."""

    sub_commands = [*Build.sub_commands, ("build_artefacts", None)]  # noqa: RUF012

    def run(self) -> None:
        shutil.rmtree(Path(self.build_lib) / build.PACKAGE, ignore_errors=True)
        super().run()


def common_mode(mode: int) -> int:
    return 0o755 if mode & stat.S_IXUSR else 0o644


class ReproducibleWheel(BdistWheel):
    """setuptools copies the modes of the files, which depend on the umask of the checkout."""

    def write_wheelfile(self, *arguments: Any, **more: Any) -> None:
        # The last step before the archive is written.
        super().write_wheelfile(*arguments, **more)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(common_mode(path.stat().st_mode))


class ReproducibleSdist(Sdist):
    """setuptools ignores SOURCE_DATE_EPOCH for an sdist."""

    def make_archive(self, base_name: str, format: str, **more: Any) -> str:
        if EPOCH is None or format != "gztar":
            return str(super().make_archive(base_name, format, **more))
        path = f"{base_name}.tar.gz"
        with gzip.GzipFile(path, "wb", mtime=int(EPOCH)) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(more["base_dir"], filter=_without_origin)
        return path


def _without_origin(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.mode = int(EPOCH or 0), common_mode(member.mode)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


class WithoutThisFile(BuildPy):
    """It is beside conftest.py, which is shipped."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        return [each for each in super().find_package_modules(package, package_dir) if each[1] != "setup"]


class ForOneMachine(Distribution):
    """Not pure Python, though setuptools itself builds none of the C."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    packages=[build.PACKAGE, *(f"{build.PACKAGE}.{name}" for name in find_namespace_packages(include=ROOMS))],
    package_dir={build.PACKAGE: ".", "": "helpers/command"},
    # A pytest plugin that every project's pytest loads: alone, so that none of the suite's modules come with it.
    py_modules=["kvm_hvc_arguments"],
    options={"egg_info": {"egg_base": "."}},
    package_data={build.PACKAGE: DATA},
    cmdclass={
        "bdist_wheel": ReproducibleWheel,
        "build": BuildAll,
        "build_artefacts": BuildArtefacts,
        "build_py": WithoutThisFile,
        "sdist": ReproducibleSdist,
    },
    distclass=ForOneMachine,
)
