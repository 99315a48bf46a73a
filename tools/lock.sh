#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Write requirements/*.txt from pyproject.toml, with hashes. Needs uv. Valid pins stay; --upgrade updates them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() {
    local file=requirements/$1.txt
    shift
    uv pip compile --quiet --universal --python-version=3.11 --generate-hashes --no-annotate --no-header \
        --output-file="$file" "$@" >/dev/null
    sed -i '1i # SPDX-License-Identifier: GPL-2.0-only\n# From pyproject.toml; make lock writes this file.' "$file"
}

lock run pyproject.toml --group=build "$@"
lock check --group=check --constraints=requirements/run.txt "$@"
lock labgrid --group=labgrid --constraints=requirements/run.txt --constraints=requirements/check.txt "$@"
