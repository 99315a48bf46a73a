# SPDX-License-Identifier: GPL-2.0-only
"""Decompresses kernels and modules. The unpacked size is bounded: a small file can unpack to terabytes."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Protocol

LARGEST = 512 << 20
"""The most bytes of a decompressed file. A debug kernel with every driver built in has half of that."""
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    # The second alternative is a skippable frame: the output of pzstd begins with one.
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|\x50\x2a\x4d\x18"),
    # lzma has no magic number. These are default properties, a dictionary of a multiple of 64 KiB, and a size that is
    # unknown or below 4 GiB.
    "lzma": re.compile(rb"\]\0\0..(?:\xff{8}|.{4}\0{4})", re.DOTALL),
}
_ALIASES = {"xzkern": "xz", "zstd22": "zstd"}
"""The spellings of scripts/Makefile.lib."""
_CHUNK = 64 << 10
_ZSTD_CHUNK = 4 << 10
"""Bytes given to zstandard at a time, because it cannot bound its output. 4 bytes unpack to at most 128 KiB, so this
size unpacks to at most 128 MiB."""
_ZSTD_WINDOW = 1 << 31
_LZMA_MEMORY = 1 << 30


class TooLarge(ValueError):
    """The data unpacks to more than LARGEST bytes."""


class _Unpacker(Protocol):
    """The common methods of the decompressors of zlib, lzma and bz2."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZstdUnpacker:
    """zstandard's decompressor with the methods of the others."""

    def __init__(self) -> None:
        # Imported here: only zstd files need it.
        import zstandard

        self._frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Decompress DATA. MAX_LENGTH is ignored: the size of DATA bounds the output."""
        return self._frame.decompress(data)


def compression_of(head: bytes) -> str:
    """The method (gzip, xz, lzma, bzip2, zstd) by which the file that begins with HEAD is compressed, or ""."""
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), "")


def decompress(name: str, data: bytes) -> bytes:
    """Decompress DATA by the method NAME (gzip, xz, lzma, bzip2, zstd; the kernel's spellings too).

    DATA may contain several streams, as pbzip2 and pzstd write. Other data after the end of a stream is ignored: the
    kernel's build appends the unpacked size. Raises KeyError for another method, TooLarge if the content exceeds
    LARGEST, ValueError if DATA is damaged or cut off.
    """
    name = _ALIASES.get(name, name)
    magic, new_unpacker = _MAGIC[name], _unpackers(name)
    parts: list[bytes] = []
    at = 0
    while at == 0 or magic.match(data, at):
        at = _decompress_stream(new_unpacker(), data, at, parts)
    return b"".join(parts)


def _decompress_stream(unpacker: _Unpacker, data: bytes, at: int, parts: list[bytes]) -> int:
    """Append the content of the stream at offset AT of DATA to PARTS. Return the offset of its end."""
    step = _ZSTD_CHUNK if isinstance(unpacker, _ZstdUnpacker) else _CHUNK
    room = LARGEST - sum(map(len, parts))
    while not unpacker.eof:
        chunk = data[at : at + step]
        if not chunk:
            raise ValueError("the compressed data ends too early")
        try:
            part = unpacker.decompress(chunk, room + 1)
        except Exception as error:  # each library has its own class; zstandard may not be imported
            raise ValueError(str(error)) from error
        room -= len(part)
        if room < 0:
            raise TooLarge(f"it unpacks to more than {LARGEST >> 20} MiB")
        parts.append(part)
        at += len(chunk)
    return at - len(unpacker.unused_data)


def _unpackers(name: str) -> Callable[[], _Unpacker]:
    if name == "gzip":
        return lambda: zlib.decompressobj(wbits=31)
    if name == "bzip2":
        return bz2.BZ2Decompressor
    if name == "zstd":
        return _ZstdUnpacker
    return lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
