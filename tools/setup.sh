#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Install what is missing (Debian packages, .venv), then build the C parts. A second run changes nothing.
# "setup.sh check" adds what only work on the project needs: lint, and the tests' browser and validators.
# PYTHON names another python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
purpose=${1:-}
case $purpose in '' | check) ;; *) printf 'usage: setup.sh [check]\n' >&2 && exit 2 ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Each probe tells whether a package is needed although dpkg does not know it: a qemu or python3 of one's own.
probe() {
    case $1 in
    qemu-system-arm) command -v qemu-system-aarch64 ;;
    gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc ;;
    libc6-dev-arm64-cross) [ -e "$(aarch64-linux-gnu-gcc -print-file-name=libc.a)" ] ;;
    gcc | make | chromium) command -v "$1" ;;
    libc6-dev) [ -e /usr/include/stdio.h ] ;;
    python3-dev) "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' ;;
    python3-venv) "$python" -c 'import ensurepip, venv' ;;
    debian-archive-keyring) [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ;;
    *) false ;;
    esac >/dev/null 2>&1
}

packages=(qemu-system-arm gcc libc6-dev python3-dev python3-venv debian-archive-keyring make)
[ "$purpose" != check ] || packages+=(chromium)
# On arm64 the machine's own gcc makes arm64 programs.
case $(uname -m) in aarch64 | arm64) ;; *) packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;; esac

missing_packages() {
    local installed package
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
    for package in "${packages[@]}"; do
        grep -qxF "installed $package" <<<"$installed" || probe "$package" || printf '%s ' "$package"
    done
}

install_packages() {
    local -a root=()
    command -v apt-get >/dev/null || die "install these first, by their Debian names: $*"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "as root, run: apt-get install --no-install-recommends $*"
        root=(sudo)
    fi
    say "installing $*"
    # A third party's broken source must not stop this: the install itself tells when something is missing.
    "${root[@]}" apt-get -qq update || say "apt-get update failed in part; going on"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" ||
        die "apt-get could not install: $*"
}

check_python() {
    command -v "$python" >/dev/null || die "there is no $python; install Python 3.11 or later"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1), 3.11 or later is needed; name another: PYTHON=python3.11 make setup"
}

pip_install() {
    # Settings meant for another kind of installation would put the packages elsewhere; the rest (index,
    # certificates, constraints) is the machine's business and stays.
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_REQUIRE_VIRTUALENV -u PYTHONPATH -u PYTHONHOME \
        .venv/bin/python -m pip install -q --no-input --disable-pip-version-check "$@" ||
        die "pip could not install $*; its message is above"
}

make_environment() {
    say "making .venv"
    check_python
    "$python" -m venv --clear .venv || die "$python cannot make a virtual environment"
    pip_install --require-hashes -r requirements/run.txt
    # The command, and the pytest plugin that pyproject.toml names. setuptools is there: nothing is fetched.
    pip_install --no-deps --no-build-isolation --editable .
    printf '%s\n' "$1" >.venv/setup-stamp
}

mkdir -p .build
exec 9>.build/setup.lock
if command -v flock >/dev/null; then flock 9; fi

missing=$(missing_packages)
# shellcheck disable=SC2086  # a list of words
[ -z "$missing" ] || install_packages $missing
# The path is in the stamp since the programs in .venv/bin hold it: a moved folder needs a new environment.
stamp="$(cat requirements/run.txt pyproject.toml setup.py tools/setup.sh | sha256sum) $PWD"
if [ "$(cat .venv/setup-stamp 2>/dev/null)" != "$stamp" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    make_environment "$stamp"
fi
if [ "$purpose" = check ] && ! cmp -s requirements/check.txt .venv/check-stamp; then
    say "adding lint, and what the project's own tests need"
    pip_install --require-hashes -r requirements/check.txt
    cp requirements/check.txt .venv/check-stamp
fi
# The lock must not outlive this script in a child.
.venv/bin/python -m helpers.build 9>&-
