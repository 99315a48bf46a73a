# SPDX-License-Identifier: GPL-2.0-only
"""Writes docs/schema/, the JSON schemas of the results log and the baseline: ``python -m helpers.results.schema``."""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from helpers.results.baseline import SERVICE_NAME, Acceptance, Waiver
from helpers.results.log import RECORDS
from helpers.results.records import VERSION

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schema"
_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$comment": "SPDX-License-Identifier: GPL-2.0-only. Written by python -m helpers.results.schema; do not edit.",
}


def log_schema() -> dict[str, Any]:
    """The schema of one line of a results log of the current version."""
    references, definitions = _components(*RECORDS.values())
    records = [
        {"properties": {"record": {"const": name}}, "required": ["record"], **reference}
        for name, reference in zip(RECORDS, references, strict=True)
    ]
    definitions["Session"]["properties"]["version"] = {"const": VERSION}
    title = f"A line of results.jsonl, the results log of kvm-hvc-conformance, version {VERSION}"
    return {**_HEAD, "title": title, "oneOf": records, "$defs": definitions}


def baseline_schema() -> dict[str, Any]:
    """The schema of a baseline, whose TOML dates are texts in JSON."""
    (waivers, acceptances), definitions = _components(Waiver, Acceptance)
    waiver, acceptance = definitions["Waiver"], definitions["Acceptance"]
    for value in (*waiver["properties"].values(), *acceptance["properties"].values()):
        value |= {"pattern": r"\S"} if "format" not in value else {}
    acceptance["properties"]["service"]["pattern"] = f"^{SERVICE_NAME.pattern}$"
    acceptance["additionalProperties"] = False
    waiver["required"] = [name for name in waiver["required"] if name not in ("clause", "test")]
    waiver |= {"oneOf": [{"required": ["clause"]}, {"required": ["test"]}], "additionalProperties": False}
    return {
        **_HEAD,
        "title": "A baseline of kvm-hvc-conformance",
        "type": "object",
        "properties": {
            "deviation": {"type": "array", "items": waivers},
            "accept-unknown": {"type": "array", "items": acceptances},
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def schemas() -> dict[Path, str]:
    """The files and their texts."""
    files = {"results-log.schema.json": log_schema(), "baseline.schema.json": baseline_schema()}
    return {FOLDER / name: json.dumps(schema, indent=2) + "\n" for name, schema in files.items()}


def _components(*kinds: type) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    references, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for each in definitions.values():
        each["description"] = cleandoc(each["description"])
    return references, definitions


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in schemas().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
