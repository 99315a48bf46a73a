# SPDX-License-Identifier: GPL-2.0-only
"""A root folder to build modules for a Debian kernel in, with the kernel's headers and the compiler of its release.

Another release's compiler may lack flags that the headers use, and the tools in the headers need their release's libc.
The private apt fetches the packages, and they are unpacked without root. Programs run in the folder with chroot(1) in a
user namespace.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.privilege import as_root

_TOOLS = ("make", "dash", "coreutils", "sed", "gawk", "grep", "findutils")
_LIBRARIES = re.compile(r"libelf1(t64)?|libssl[0-9]+(t64)?$")
"""Libraries of the programs in the headers. Their names differ between releases."""
_MERGED = ("bin", "sbin", "lib", "lib64")
_UNUSED = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info")
_TIMEOUT = 600
_PROC_SYS = Path("/proc/sys")
_SYSCTLS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "15000"),
)
"""Parameters that forbid user namespaces: name, value that forbids, value that allows. The first two are Debian's and
Ubuntu's; Documentation/admin-guide/sysctl/user.rst has the third.
"""
_BIND_NULL = 'mount --bind /dev/null "$1/dev/null" && exec chroot "$@"'


@dataclass(frozen=True)
class KernelPackage:
    """A Debian kernel: its suite, its release (uname -r), and its package's version."""

    suite: str
    release: str
    version: str


def make_root(root: Path, kernel: KernelPackage, *, mirror: str | None, progress: Callable[[str], None]) -> None:
    """Fill ROOT, which must not exist. Raises HarnessError."""
    check_tools()
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="tmp-") as name:
        work = Path(name)
        progress(f"fetching the headers of Linux {kernel.release} and their compiler (70 MB)")
        packages = _download(Apt(work / "apt", kernel.suite, choose_mirror(mirror), _host()), kernel, work)
        _unpack(packages, work / "root")
        _finish(work / "root", kernel)
        (work / "root").rename(root)


def check_namespaces() -> list[str]:
    """The command that enters new user and mount namespaces. Raises HarnessError if it fails."""
    what = "The module cannot be built on this machine"
    tool = shutil.which("unshare")
    if tool is None:
        raise HarnessError(what, why="there is no program unshare", cure="Install it (Debian: util-linux)")
    namespace = [tool, "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        why = "unshare --map-root-user --mount is not allowed here"
        raise HarnessError(what, why=why, cure=f"Allow user namespaces: {_namespace_cure()}")
    return namespace


def _namespace_cure() -> str:
    """The command that sets the kernel parameter that forbids user namespaces, or else the option of the container."""
    for name, forbids, allows in _SYSCTLS:
        with contextlib.suppress(OSError):
            if (_PROC_SYS / name.replace(".", "/")).read_text().strip() == forbids:
                return as_root(f"sysctl {name}={allows}")
    return "docker run --security-opt seccomp=unconfined --cap-add SYS_ADMIN (in a container)"


def run_in(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run COMMAND in ROOT. Raises HarnessError if user namespaces are not available."""
    namespace = check_namespaces()
    inside = ["sh", "-c", _BIND_NULL, "sh", str(root), "/usr/bin/env", "-i", "PATH=/usr/bin", *command]
    try:
        return subprocess.run(
            [*namespace, *inside], capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{command[0]} in {root} took more than {_TIMEOUT} s", cure="Try again") from None


def _host() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def _download(apt: Apt, kernel: KernelPackage, work: Path) -> list[Path]:
    apt.prepare()
    apt.update()
    headers = f"linux-headers-{kernel.release}"
    fields = apt.show(f"{headers}:arm64")
    if fields.get("Version") != kernel.version:
        raise HarnessError(
            f"{apt.mirror} does not have the headers of Linux {kernel.release} {kernel.version}",
            why=f"debian:{kernel.suite} now has {fields.get('Version', 'no package of that name')}",
            cure="Remove the kernel from the cache, so that the newest is fetched, or wait a day",
        )
    parts = re.findall(r"linux-(?:headers-\S+-common|kbuild-[^\s,]+)", fields["Depends"])
    compiler = f"gcc{'' if _host() == 'arm64' else '-aarch64-linux-gnu'}"
    packages = apt.needed([*_TOOLS, compiler, *_linked_with(apt, parts)])
    # Modules do not need the target's run-time libraries.
    packages = {name: version for name, version in packages.items() if not name.endswith("-arm64-cross")}
    packages |= dict.fromkeys((f"{headers}:arm64", *parts), kernel.version)
    folder = work / "packages"
    folder.mkdir()
    return apt.download(packages, folder)


def _linked_with(apt: Apt, parts: Iterable[str]) -> list[str]:
    """The libraries that linux-kbuild depends on."""
    kbuild = next(name for name in parts if name.startswith("linux-kbuild-"))
    depends = apt.show(kbuild).get("Depends", "").split(",")
    return [name for name in (d.split()[0] for d in depends if d.strip()) if _LIBRARIES.match(name)]


def _unpack(packages: Iterable[Path], root: Path) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    unused = [f"--exclude={path}" for path in _UNUSED]
    for package in packages:
        with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", package), stdout=subprocess.PIPE) as unpacker:
            # Packages from before the merged /usr have files in /bin, /lib and /sbin, which are links here.
            command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", *unused]
            tar = subprocess.run(command, stdin=unpacker.stdout, capture_output=True, check=False)
        if tar.returncode or unpacker.returncode:
            why = tar.stderr.decode(errors="replace").strip()[-300:]
            raise HarnessError(f"The package {package.name} cannot be unpacked", why=why, cure="Try again")


def _finish(root: Path, kernel: KernelPackage) -> None:
    """Creates what the packages' installation scripts would create."""
    for name, target in (("sh", "dash"), ("awk", "gawk")):
        link = root / "usr/bin" / name
        if not link.exists():
            link.symlink_to(target)
    for folder in ("dev", "tmp", "mod"):
        (root / folder).mkdir(exist_ok=True)
    (root / "dev/null").touch()
    # If vmlinux exists, kbuild runs pahole for type information that the module does not need.
    (root / headers_of(kernel).lstrip("/") / "vmlinux").unlink(missing_ok=True)


def headers_of(kernel: KernelPackage) -> str:
    """The path of the headers inside the root."""
    return f"/usr/src/linux-headers-{kernel.release}"
