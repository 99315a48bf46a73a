# SPDX-License-Identifier: GPL-2.0-only
"""A private apt for one Debian suite, with its own sources, lists and status. The host's apt is not changed.

It needs no root. apt always checks the signature of the index and the hashes of the packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from helpers.errors import HarnessError, UsageError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR_OPTION = "--debian-mirror"
MIRROR_VARIABLE = "KVM_HVC_DEBIAN_MIRROR"
_TIMEOUT = 900
"""Timeout of one run of apt in seconds. An index has 10 MB, a kernel 30 MB."""
_HELPER = Path("/usr/lib/apt/apt-helper")
_MIRROR = re.compile(r"(?!cdrom:)[a-z][a-z0-9+.-]*:[^\s\[\]\"]+")
_NO_NETWORK = re.compile(
    r"could not resolve|could not connect|connection (failed|refused|reset)|temporary failure|timed out"
    r"|unable to connect|cannot initiate|no route to host|network is unreachable|name or service not known",
    re.IGNORECASE,
)
_BAD_SIGNATURE = re.compile(r"NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG|REVKEYSIG|signature", re.IGNORECASE)
_CONFIGURATION = """\
Dir "{root}/";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}";
Dir::Cache::archives "{root}/archives";
Dir::Log "{root}";
Dir::Etc "{root}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{root}/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; "arm64"; }};
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::AllowReleaseInfoChange "true";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""


@dataclass(frozen=True)
class Apt:
    """A private apt root for SUITE of MIRROR. Call ``prepare`` and ``update`` before the other methods."""

    root: Path
    suite: str
    mirror: str
    architecture: str = "arm64"
    """The architecture of packages that are named without one. arm64 packages are always available."""

    def prepare(self) -> None:
        for folder in ("lists/partial", "archives/partial", "etc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        source = f"deb [signed-by={KEYRING}] {self.mirror} {self.suite} main\n"
        (self.root / "etc/sources.list").write_text(source)
        configuration = _CONFIGURATION.format(root=self.root, architecture=self.architecture) + _host_network_settings()
        (self.root / "apt.conf").write_text(configuration)

    def update(self) -> str:
        """Fetch the suite's index; return a warning, or "".

        An expired index gives a warning: its signature is still checked.
        """
        process = self._run("apt-get", "-q", "update")
        if process.returncode == 0:
            return ""
        if "is expired" in process.stderr:
            process = self._run("apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false", "update")
        if process.returncode:
            raise self._explain(process)
        return f"the mirror's index of {self.suite} has expired: the kernel may not be the newest"

    def reach(self, seconds: float) -> None:
        """Fetch the suite's InRelease file (200 KB) within so many seconds, to check the network. Raises HarnessError.

        Its signature is not checked here; ``update`` does that.
        """
        options = ("-o", "Acquire::Retries=0", "-o", f"Acquire::http::Timeout={seconds:.0f}")
        address = f"{self.mirror}/dists/{self.suite}/InRelease"
        command = (str(_HELPER), *options, "download-file", address, str(self.root / "InRelease"))
        process = self._run(*command, seconds=seconds)
        if process.returncode:
            raise self._explain(process)

    def show(self, package: str) -> Mapping[str, str]:
        """Return the control fields of PACKAGE's newest version in the suite; empty if there is none."""
        process = self._run("apt-cache", "show", "--no-all-versions", package)
        fields = process.stdout.split("\n\n")[0] if process.returncode == 0 else ""
        return dict(re.findall(r"^(\S[^:\n]*): (.*)$", fields, re.MULTILINE))

    def needed(self, packages: Iterable[str]) -> dict[str, str]:
        """The versions of PACKAGES and their dependencies, by name. Raises HarnessError if one is missing."""
        process = self._run("apt-get", "-q", "-s", "--no-install-recommends", "install", *packages)
        if process.returncode:
            raise self._explain(process)
        return dict(re.findall(r"^Inst (\S+) \((\S+) ", process.stdout, re.MULTILINE))

    def download(self, packages: Mapping[str, str], folder: Path) -> list[Path]:
        """Download PACKAGES (name to version) into FOLDER, checked against the signed index."""
        before = set(folder.glob("*.deb"))
        versions = [f"{name}={version}" for name, version in packages.items()]
        process = self._run("apt-get", "-q", "download", *versions, cwd=folder)
        if process.returncode:
            raise self._explain(process)
        return sorted(set(folder.glob("*.deb")) - before)

    def tidy(self) -> None:
        """Remove apt's caches (80 MB for a suite). The next ``update`` creates them again."""
        for cache in self.root.glob("*pkgcache.bin"):
            cache.unlink(missing_ok=True)

    def _run(
        self, *command: str, cwd: Path | None = None, seconds: float = _TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LC_ALL": "C", "APT_CONFIG": str(self.root / "apt.conf")}
        try:
            return run(*command, cwd=cwd, environment=environment, seconds=seconds)
        except subprocess.TimeoutExpired:
            what = f"The Debian mirror {self.mirror} took more than {_duration(seconds)}"
            raise HarnessError(what, cure=f"Name another mirror with {MIRROR_OPTION} or {MIRROR_VARIABLE}") from None

    def _explain(self, process: subprocess.CompletedProcess[str]) -> HarnessError:
        text = process.stdout + process.stderr
        other = f"name another mirror with {MIRROR_OPTION} or {MIRROR_VARIABLE}"
        if _NO_NETWORK.search(text):
            what = f"The Debian mirror {self.mirror} cannot be reached"
            return HarnessError(what, why=_first_error(text), cure=f"Check the network and proxy, or {other}")
        if re.search(r"404\s+Not Found|File not found", text) and "does not have a Release file" in text:
            cure = f"Check the name (such as debian:stable); for an archived suite {other}"
            return UsageError(f"The Debian mirror {self.mirror} has no suite {self.suite!r}", cure=cure)
        if _BAD_SIGNATURE.search(text):
            what = f"The signature of the index of {self.suite} on {self.mirror} cannot be verified"
            cure = "Update the keys: apt install debian-archive-keyring"
            return HarnessError(what, why=_first_error(text), cure=cure)
        what = f"apt could not fetch from suite {self.suite} of {self.mirror}"
        return HarnessError(what, why=_first_error(text), cure=f"Try again, or {other}")


def check_tools() -> None:
    """Raise HarnessError if this machine lacks the programs or the keys to fetch a Debian kernel."""
    for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb"):
        if not shutil.which(tool):
            what = f"Debian's kernels cannot be fetched on this machine: there is no program {tool}"
            raise HarnessError(what, cure="Give the kernel as a file, or use a Debian or Ubuntu machine")
    if not KEYRING.exists():
        what = f"Debian's kernels cannot be verified: there is no {KEYRING}"
        raise HarnessError(what, cure="Install it: apt install debian-archive-keyring")


def choose_mirror(mirror: str | None) -> str:
    """Return MIRROR if it is a valid address. If it is empty, return the Debian mirror of this machine's apt."""
    if mirror:
        if not _MIRROR.fullmatch(mirror):
            what = f"The Debian mirror {mirror!r} is not an address"
            raise UsageError(what, cure=f"Give {MIRROR_OPTION} as SCHEME://HOST/debian")
        return mirror.rstrip("/")
    default = _mirror_of_lists() or mirror_of_sources(Path("/etc/apt"))
    if not default:
        what = "No Debian mirror is known: this machine's apt has no Debian source"
        raise HarnessError(what, cure=f"Name one with {MIRROR_OPTION} or in {MIRROR_VARIABLE}")
    return default.rstrip("/")


def run(
    *command: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = _TIMEOUT,
) -> subprocess.CompletedProcess[str]:
    """Run COMMAND without input until it ends, and capture its output."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 60 else f"{seconds:.0f} s"


def mirror_of_sources(folder: Path) -> str:
    """Return the first Debian mirror in apt's source files under FOLDER, or "".

    If apt-get update never ran, no list names the origin: the keyring or the address must contain "debian".
    """
    places = folder / "sources.list.d"
    lines = (_text(file) for file in (folder / "sources.list", *sorted(places.glob("*.list"))))
    stanzas = (_text(file) for file in sorted(places.glob("*.sources")))
    candidates = chain(_of_lines("\n".join(lines)), _of_stanzas("\n\n".join(stanzas)))
    return next((address for address, suites, more in candidates if _is_debian(address, suites, more)), "")


def _of_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Address, suite and options of each source in apt's one-line style."""
    line = re.compile(r"^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)", re.MULTILINE)
    for options, address, suite in line.findall(text):
        yield address, suite, options


def _of_stanzas(text: str) -> Iterator[tuple[str, str, str]]:
    """Address, suites and keyring of each source in apt's deb822 style."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if fields.get("Enabled", "yes").strip() != "no" and "deb" in fields.get("Types", "").split():
            for address in fields.get("URIs", "").split():
                yield address, fields.get("Suites", ""), fields.get("Signed-By", "")


def _mirror_of_lists() -> str:
    """The mirror of an index that apt has already fetched and verified as Debian's."""
    columns = "$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    for line in run("apt-get", "indextargets", "--format", columns).stdout.splitlines():
        *fields, address = line.split("|")
        if fields == ["Packages", "Debian", "Debian"] and _MIRROR.fullmatch(address):
            return address
    return ""


def _is_debian(address: str, suites: str, options: str) -> bool:
    if not _MIRROR.fullmatch(address) or "security" in address or "security" in suites:
        return False
    return "debian-archive" in options or bool(re.search(r"debian(\.list)?/?$", address))


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _host_network_settings() -> str:
    """The settings for proxies and certificates of this machine's apt, which may be needed to reach the mirror."""
    lines = run("apt-config", "dump").stdout.splitlines()
    return "".join(f"{line}\n" for line in lines if re.match(r'Acquire::(http|https)::\S+ "[^"]+";$', line))


def _first_error(text: str) -> str:
    """The line of apt's output with a network error, else its first error, else its first warning."""
    lines = text.splitlines()
    for pattern in (_NO_NETWORK, re.compile(r"^E: "), re.compile(r"^W: ")):
        for line in lines:
            if pattern.search(line):
                return re.sub(r"^[EW]: ", "", line.strip())
    return lines[-1].strip() if lines else "apt printed no message"
