#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Install missing Debian packages and .venv, then build the C parts. A second run changes nothing.
# "setup.sh check" adds the requirements of make check: lint, a browser and validators.
# PYTHON names another python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
purpose=${1:-}
case $purpose in '' | check) ;; *) printf 'usage: setup.sh [check]\n' >&2 && exit 2 ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Whether the files of a package are present although dpkg does not list it, for example a self-built QEMU.
probe() {
    case $1 in
    qemu-system-arm) command -v qemu-system-aarch64 ;;
    gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc ;;
    libc6-dev-arm64-cross) [ -e "$(aarch64-linux-gnu-gcc -print-file-name=libc.a)" ] ;;
    gcc | make | chromium) command -v "$1" ;;
    libc6-dev) [ -e /usr/include/stdio.h ] ;;
    xz-utils) command -v xz ;;
    python3-dev) "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' ;;
    python3-venv) "$python" -c 'import ensurepip, venv' ;;
    debian-archive-keyring) [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ;;
    *) false ;;
    esac >/dev/null 2>&1
}

packages=(qemu-system-arm gcc libc6-dev python3-dev python3-venv debian-archive-keyring make)
[ "$purpose" != check ] || packages+=(chromium xz-utils)
# On arm64 the native gcc is enough.
case $(uname -m) in aarch64 | arm64) ;; *) packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;; esac

missing_packages() {
    local installed package
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
    for package in "${packages[@]}"; do
        grep -qxF "installed $package" <<<"$installed" || probe "$package" || printf '%s ' "$package"
    done
}

# apt-get update is part of the command, because a new machine has no lists of packages.
no_packages() {
    [ "$(id -u)" -ne 0 ] || die "$1: ${*:2}; see apt's message above"
    die "$1; as root, run: apt-get update && apt-get install --no-install-recommends ${*:2}; then make setup again"
}

install_packages() {
    local -a root=()
    local log=.build/apt.log status=0
    command -v apt-get >/dev/null || die "install these first (Debian package names), then make setup again: $*"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || no_packages "Debian packages are missing, and there is no sudo" "$@"
        root=(sudo)
    fi
    say "installing $* (apt's output is in $log)"
    # Continue if a third-party source is broken: apt-get's status is then 100, and apt-get install reports a missing
    # package. Other statuses are those of sudo.
    "${root[@]}" apt-get -qq update >"$log" || status=$?
    case $status in
    0) ;;
    100) say "apt-get update failed in part; continuing" ;;
    *) no_packages "apt-get update ended with status $status" "$@" ;;
    esac
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >>"$log" ||
        no_packages "apt-get could not install the packages" "$@"
}

check_python() {
    command -v "$python" >/dev/null || die "there is no $python; install Python 3.11 or later"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1), 3.11 or later is required; run PYTHON=python3.11 make setup"
}

pip_install() {
    # These settings would install the packages elsewhere. Others (index, certificates, constraints) stay.
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_REQUIRE_VIRTUALENV -u PYTHONPATH -u PYTHONHOME \
        .venv/bin/python -m pip install -q --no-input --disable-pip-version-check "$@" ||
        die "pip could not install $*; see its message above. Behind a proxy or with a mirror of PyPI," \
            "set https_proxy or PIP_INDEX_URL, then run make setup again"
}

make_environment() {
    say "creating .venv"
    check_python
    "$python" -m venv --clear .venv || die "$python cannot create a virtual environment"
    pip_install --require-hashes -r requirements/run.txt
    # Installs the command and the pytest plugin of pyproject.toml. Nothing is fetched: setuptools is installed already.
    pip_install --no-deps --no-build-isolation --editable .
    printf '%s\n' "$1" >.venv/setup-stamp
}

mkdir -p .build
exec 9>.build/setup.lock
if command -v flock >/dev/null; then flock 9; fi

missing=$(missing_packages)
# shellcheck disable=SC2086  # a list of words
[ -z "$missing" ] || install_packages $missing
# The stamp contains the folder's path: the programs in .venv/bin contain it too, so a moved folder needs a new .venv.
stamp="$(cat requirements/run.txt pyproject.toml setup.py tools/setup.sh | sha256sum) $PWD"
if [ "$(cat .venv/setup-stamp 2>/dev/null)" != "$stamp" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    make_environment "$stamp"
fi
if [ "$purpose" = check ] && ! cmp -s requirements/check.txt .venv/check-stamp; then
    say "adding the requirements of make check"
    pip_install --require-hashes -r requirements/check.txt
    cp requirements/check.txt .venv/check-stamp
fi
# A child must not keep the lock after this script.
.venv/bin/python -m helpers.build 9>&-
