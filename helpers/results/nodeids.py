# SPDX-License-Identifier: GPL-2.0-only
"""Subjects in node ids: pytest shows a subject among a test's parameters when a session has several."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.identity import Identity, MigrationId, SubjectId, pairs


def parameter_word(subject: Identity) -> str:
    """The parameter id of a subject, before pytest escapes it."""
    if isinstance(subject, MigrationId):
        return f"{subject.source.label}->{subject.target.label}"
    return subject.label


def without_subject(nodeid: str, subject: Identity | None) -> str:
    """The node id of the same test in a session of one subject. A migration keeps its pair."""
    return nodeid if subject is None or isinstance(subject, MigrationId) else without_parameter(nodeid, subject)


def without_parameter(nodeid: str, subject: Identity) -> str:
    """The node id of the same test in a session of one subject, also of a migration's test."""
    place, bracket, parameters = nodeid.partition("[")
    if not bracket:
        return nodeid
    words = f"-{parameters.removesuffix(']')}-".replace(_enclosed(subject), "-", 1)[1:-1]
    return f"{place}[{words}]" if words else place


class NodeIds:
    """Finds the subject from a node id alone.

    In xdist's controller, only node ids are available after the collection, and for a test whose worker died.
    """

    def __init__(self, subjects: Sequence[SubjectId]) -> None:
        self._only = subjects[0] if len(subjects) == 1 else None
        identities: list[SubjectId | MigrationId] = [*subjects]
        identities += [MigrationId(a, b) for a, b in pairs(subjects) if a != b]
        words: dict[str, SubjectId | MigrationId | None] = {}
        for each in identities:
            word = _enclosed(each)
            # A node id cannot distinguish two subjects with the same label.
            words[word] = None if word in words else each
        # A label may be part of a longer one (debian, debian-sid), so the longest match is used.
        self._words = sorted(words.items(), key=lambda pair: len(pair[0]), reverse=True)

    def subject_of(self, nodeid: str) -> SubjectId | MigrationId | None:
        """The subject or migration of a node id, or the session's only subject; None if it cannot be determined."""
        if self._only is not None:
            return self._only
        _, bracket, parameters = nodeid.partition("[")
        words = f"-{parameters.removesuffix(']')}-"
        return next((subject for word, subject in self._words if bracket and word in words), None)


def _enclosed(subject: Identity) -> str:
    """The subject between other parameters, escaped as pytest escapes it."""
    return f"-{parameter_word(subject).encode('unicode_escape').decode('ascii')}-"
