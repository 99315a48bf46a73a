# SPDX-License-Identifier: GPL-2.0-only
"""Runs commands on a board with ssh(1) and the user's configuration, and explains failures of ssh."""

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
    # Use an existing shared connection, but create none, because it would outlive this session.
    "-o", "ControlMaster=no",
)  # fmt: skip
BEGIN = "khx:begin"
_NO_MESSAGE = "ssh printed no message"
_COMMAND_SECONDS = 90
"""Timeout of a command in seconds: enough for 0.7 MB over a slow network."""
_FAILED = 255
"""ssh's exit status if ssh itself failed, not the command (ssh(1), EXIT STATUS)."""


@dataclass(frozen=True)
class Destination:
    """A host as given on ssh's command line, and the options of ssh to reach it."""

    name: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


class Unreachable(HarnessError):
    """The board may be reachable later: it is off or booting, or the network is down."""


class Interrupted(Unreachable):
    """The connection ended while the command ran. The command may be incomplete."""


class Talkative(HarnessError):
    """The login shell printed text, which would be taken for an answer. The command ran."""


@dataclass(frozen=True)
class Reply:
    """A command's standard output after BEGIN, and its standard error."""

    text: str
    errors: str


def command(destination: Destination, script: str) -> list[str]:
    """The command line that runs SCRIPT on the board with sh, whatever the login shell is. Raises HarnessError."""
    ssh = shutil.which("ssh")
    if ssh is None:
        why, cure = "there is no program ssh on this machine", "Install it (Debian: openssh-client)"
        raise HarnessError(f"{destination} cannot be reached", why=why, cure=cure)
    return [ssh, *_OPTIONS, *destination.options, "--", destination.name, f"exec sh -c {shlex.quote(script)}"]


def ask(destination: Destination, script: str, stdin: bytes = b"") -> Reply:
    """Runs SCRIPT on the board until it ends. Raises Unreachable, Interrupted, Talkative, HarnessError."""
    try:
        process = subprocess.run(
            command(destination, f"echo {BEGIN}; {script}"),
            input=stdin, capture_output=True, timeout=_COMMAND_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        what, why = f"{destination} cannot be reached", f"ssh took more than {_COMMAND_SECONDS} s"
        raise Interrupted(what, why=why, cure=f"Try ssh {destination} true") from None
    except OSError as error:
        cure = f"Try ssh {destination} true"
        raise HarnessError("ssh cannot be started", why=error.strerror or str(error), cure=cure) from None
    output, errors = process.stdout.decode("utf-8", "replace"), process.stderr.decode("utf-8", "replace")
    before, begin, after = output.partition(f"{BEGIN}\n")
    if process.returncode == _FAILED and begin:
        why = last_line(errors) or _NO_MESSAGE
        raise Interrupted(f"The connection to {destination} dropped", why=why, cure="Check the network and run again")
    if not begin:
        raise failure(destination, errors if process.returncode == _FAILED else f"{errors}\n{output}")
    if before:
        what = f"The shell of {destination} prints before it runs a command"
        cure = "Let its start-up files (.bashrc) print only in an interactive shell; scp needs that too"
        raise Talkative(what, why=repr(printable_text(before[:80])), cure=cure)
    return Reply(after, errors)


def start(destination: Destination, script: str, wire: int, errors: int) -> subprocess.Popen[bytes]:
    """Starts SCRIPT on the board, with the descriptor WIRE as standard input and output. Raises HarnessError."""
    try:
        # A new session: Ctrl-C must not reach ssh.
        return subprocess.Popen(
            command(destination, script), stdin=wire, stdout=wire, stderr=errors, start_new_session=True
        )
    except OSError as error:
        cure = f"Try ssh {destination} true"
        raise HarnessError("ssh cannot be started", why=error.strerror or str(error), cure=cure) from None


_CAUSES = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key has changed",
     "If it was reinstalled, remove the old key (ssh-keygen -R), run ssh {0} once and compare the fingerprint"),
    ("Host key verification failed", "its host key is not known",
     "Run ssh {0} once, compare the fingerprint that it shows, and accept it"),
    ("Permission denied (", "it accepts none of this machine's keys, and ssh cannot ask for a password",
     "Copy a key there (ssh-copy-id {0}), or load it into the agent (ssh-add)"),
    ("Could not resolve hostname", "its name is not known", "Check the name, or add it to ~/.ssh/config"),
)  # fmt: skip
_LATER = (
    "Connection refused", "timed out", "No route to host", "Network is unreachable", "Host is down",
    "Connection closed", "Connection reset", "not responding", "Broken pipe", "banner exchange", "Connection to ",
)  # fmt: skip


def failure(destination: Destination, errors: str) -> HarnessError:
    """The error for a failed connection, from ssh's messages."""
    what = f"{destination} cannot be reached"
    for text, why, cure in _CAUSES:
        if text in errors:
            return HarnessError(what, why=why, cure=cure.format(destination))
    why = last_line(errors) or _NO_MESSAGE
    if any(text in errors for text in _LATER) or not errors.strip():
        return Unreachable(what, why=why, cure="Check that the board and its network are up, and that sshd runs")
    return HarnessError(what, why=why, cure=f"Try ssh {destination} true")


def last_line(errors: str) -> str:
    """The last line that is not blank, without control characters."""
    lines = [line.strip() for line in printable_text(errors).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Waits for ssh, which ends when its input ends. If it does not, kills it and its helpers (ProxyCommand)."""
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
