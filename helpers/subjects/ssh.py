# SPDX-License-Identifier: GPL-2.0-only
"""Commands on a board by ssh(1), as the person has set it up, and what its failures mean."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass

from helpers.errors import HarnessError
from helpers.subjects.console import printable_text

_OPTIONS = (
    "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ForwardAgent=no", "-o", "ForwardX11=no",
    # A shared connection of the person's is used; a new one would outlive this session.
    "-o", "ControlMaster=no",
)  # fmt: skip
BEGIN = "khx:begin"
_COMMAND_SECONDS = 90
"""For one command: 0.7 MB pass a slow line in that time."""
_FAILED = 255
"""ssh's own exit status where it, not the command, failed (ssh(1), EXIT STATUS)."""


@dataclass(frozen=True)
class Destination:
    """Where to: a name as on ssh's command line, and what else must stand there to reach it."""

    name: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


class Unreachable(HarnessError):
    """The board may answer again later: it is off, boots, or the network is down."""


class Interrupted(Unreachable):
    """The connection ended while the command ran: what it did may be half done."""


class Talkative(HarnessError):
    """The login shell prints; the command ran, but on the wire that would be read as an answer."""


@dataclass(frozen=True)
class Reply:
    """What a command on the board said on its standard output after BEGIN, and on its standard error."""

    text: str
    errors: str


def command(destination: Destination, script: str) -> list[str]:
    """The command line that runs SCRIPT there, with sh whatever the login shell is. Raises HarnessError."""
    ssh = shutil.which("ssh")
    if ssh is None:
        raise HarnessError(
            f"{destination} cannot be reached", why="there is no program ssh on this machine",
            cure="Install it (Debian: openssh-client)",
        )  # fmt: skip
    return [ssh, *_OPTIONS, *destination.options, "--", destination.name, f"exec sh -c {shlex.quote(script)}"]


def ask(destination: Destination, script: str, stdin: bytes = b"") -> Reply:
    """Runs SCRIPT there to its end. Raises Unreachable, Interrupted, Talkative, HarnessError."""
    try:
        done = subprocess.run(
            command(destination, f"echo {BEGIN}; {script}"),
            input=stdin, capture_output=True, timeout=_COMMAND_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Interrupted(
            f"{destination} cannot be reached", why=f"ssh took more than {_COMMAND_SECONDS} s",
            cure=f"See whether ssh {destination} works by hand",
        ) from None  # fmt: skip
    except OSError as error:
        raise HarnessError("ssh cannot be started", why=error.strerror or str(error)) from None
    said, errors = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    before, begun, after = said.partition(f"{BEGIN}\n")
    if done.returncode == _FAILED and begun:
        why = last_line(errors) or "ssh said nothing"
        raise Interrupted(f"The connection to {destination} dropped", why=why, cure="Check the network and run again")
    if not begun:
        raise failure(destination, errors if done.returncode == _FAILED else f"{errors}\n{said}")
    if before:
        raise Talkative(
            f"The shell of {destination} prints before it runs a command", why=repr(printable_text(before[:80])),
            cure="Let its start-up files (.bashrc) print only when a person is there, as scp needs it too",
        )  # fmt: skip
    return Reply(after, errors)


def start(destination: Destination, script: str, wire: int, errors: int) -> subprocess.Popen[bytes]:
    """Runs SCRIPT there with the descriptor WIRE as standard input and output. Raises HarnessError."""
    try:
        # A session of its own: Ctrl-C is for us to handle, not for ssh.
        return subprocess.Popen(
            command(destination, script), stdin=wire, stdout=wire, stderr=errors, start_new_session=True
        )
    except OSError as error:
        raise HarnessError("ssh cannot be started", why=error.strerror or str(error)) from None


_CAUSES = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is not the one known of it",
     "If it was installed anew, remove the old key (ssh-keygen -R), run ssh {0} once and compare the fingerprint"),
    ("Host key verification failed", "its host key is not known",
     "Run ssh {0} once, compare the fingerprint that it shows, and accept it"),
    ("Permission denied (", "it accepts none of this machine's keys, and nobody is here to type a password",
     "Put a key there (ssh-copy-id {0}), or load it into the agent (ssh-add)"),
    ("Could not resolve hostname", "its name is not known", "Check the name, or add it to ~/.ssh/config"),
)  # fmt: skip
_LATER = (
    "Connection refused", "timed out", "No route to host", "Network is unreachable", "Host is down",
    "Connection closed", "Connection reset", "not responding", "Broken pipe", "banner exchange", "Connection to ",
)  # fmt: skip


def failure(destination: Destination, errors: str) -> HarnessError:
    """Why there was no connection, from what ssh said."""
    what = f"{destination} cannot be reached"
    for text, why, cure in _CAUSES:
        if text in errors:
            return HarnessError(what, why=why, cure=cure.format(destination))
    why = last_line(errors) or "ssh said nothing"
    if any(text in errors for text in _LATER) or not errors.strip():
        return Unreachable(what, why=why, cure="See that the board is on, its network up, and sshd running")
    return HarnessError(what, why=why, cure=f"See whether ssh {destination} true works by hand")


def last_line(errors: str) -> str:
    """What was said last, harmless for a terminal."""
    lines = [line.strip() for line in printable_text(errors).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Lets ssh end by itself, as it does when its input has ended, or kills it with its helpers (ProxyCommand)."""
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
