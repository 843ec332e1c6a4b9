"""Bodies: what comes in is unpacked, limited and kept where the engine can read it; what goes out is packed."""

import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import lz4.frame
import zstandard

from neonblue_local.clickhouse.errors import ClickHouseError

# A statement must end within this many bytes of a body; beyond it everything is data. ClickHouse's own limit of a
# statement (max_query_size) is 256 KiB by default.
HEAD_BYTES = 1 << 20

LOOP_BYTES = 1 << 16  # more than this is not parsed or packed in the event loop's thread


class _Unpacker(Protocol):
    @property
    def unused_data(self) -> bytes | None: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


_UNPACKERS: dict[str, Callable[[], _Unpacker]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(31),
    "deflate": lambda: zlib.decompressobj(15),
}


class _Lz4Packer:
    """lz4's frame compressor: its header belongs in front of the first bytes."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head = self._frame.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + self._frame.compress(data)

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + self._frame.flush()


PACKERS: dict[str, Callable[[], _Packer]] = {
    "lz4": _Lz4Packer,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(1, wbits=31),
    "deflate": lambda: zlib.compressobj(1, wbits=15),
}


def choose_packing(accept_encoding: str) -> str | None:
    """The first encoding of Accept-Encoding that is known; None if there is none."""
    names = (part.partition(";") for part in accept_encoding.split(","))
    wanted = (name.strip().lower() for name, _, weight in names if weight.replace(" ", "") not in ("q=0", "q=0.0"))
    return next((name for name in wanted if name in PACKERS), None)


class Incoming:
    """A request's body, unpacked while it arrives: the first mebibyte in memory, the rest in an unnamed file.

    Attributes:
        head: the first bytes, at least HEAD_BYTES of them if there are as many.
        size: unpacked bytes so far.
    """

    def __init__(self, encoding: str, limit: int, spool_folder: Path) -> None:
        self.head = bytearray()
        self.size = 0
        self._limit = limit
        self._folder = spool_folder
        self._rest: int | None = None
        self._encoding = encoding.strip().lower()
        self._unpacker: _Unpacker | None = None
        if self._encoding not in ("", "identity"):
            if self._encoding not in _UNPACKERS:
                message = f"Content-Encoding {encoding!r} is unknown: use {', '.join(_UNPACKERS)}, or none."
                raise ClickHouseError.of("NOT_IMPLEMENTED", message)
            self._unpacker = _UNPACKERS[self._encoding]()

    def take(self, data: bytes) -> None:
        """Add what has arrived.

        Raises:
            ClickHouseError: CANNOT_DECOMPRESS; TOO_MANY_BYTES beyond the limit, which counts unpacked bytes.
        """
        if self._unpacker is None:
            self._keep(data)
            return
        try:
            while data:
                if self._unpacker.eof:  # clickhouse-connect sends one lz4 frame a block
                    self._unpacker = _UNPACKERS[self._encoding]()
                self._keep(self._unpacker.decompress(data))
                data = self._unpacker.unused_data or b"" if self._unpacker.eof else b""
        except (RuntimeError, zstandard.ZstdError, zlib.error) as error:
            raise ClickHouseError.of("CANNOT_DECOMPRESS", f"the body is no {self._encoding}: {error}") from error

    def finish(self) -> None:
        """Raise CANNOT_DECOMPRESS if a compressed body ends in the middle of a frame."""
        if self._unpacker is not None and self.size and not self._unpacker.eof:
            raise ClickHouseError.of("CANNOT_DECOMPRESS", f"the {self._encoding} body ends in the middle: was it cut?")

    def whole(self) -> bytes:
        """Everything, in memory."""
        if self._rest is None:
            return bytes(self.head)
        return bytes(self.head) + os.pread(self._rest, self.size - len(self.head), 0)

    def data_file(self, prefix: bytes, data_at: int) -> int:
        """A new unnamed file with `prefix` and the body from `data_at` on; the caller closes it."""
        file = unnamed_file(self._folder, len(prefix) + self.size)
        write_all(file, prefix)
        write_all(file, memoryview(self.head)[data_at:])
        if self._rest is not None:
            left = self.size - len(self.head)
            os.lseek(self._rest, 0, os.SEEK_SET)
            while left:
                moved = os.read(self._rest, min(left, 1 << 22))
                write_all(file, moved)
                left -= len(moved)
        os.lseek(file, 0, os.SEEK_SET)  # on macOS /dev/fd/N shares the position
        return file

    def close(self) -> None:
        if self._rest is not None:
            os.close(self._rest)
            self._rest = None

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            message = (
                f"the body is larger than {self._limit} bytes: send it in several INSERTs, or raise --max-body-bytes."
            )
            raise ClickHouseError.of("TOO_MANY_BYTES", message)
        if self._rest is None and len(self.head) < HEAD_BYTES:
            self.head += data
            return
        if self._rest is None:
            self._rest = unnamed_file(self._folder, self._limit)
        write_all(self._rest, data)


def unnamed_file(folder: Path, size: int) -> int:
    """A file descriptor whose file vanishes with it: in memory where possible and `size` is small, else on disk."""
    if size <= 1 << 23 and hasattr(os, "memfd_create"):
        return os.memfd_create("insert")
    file, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)
    return file


def write_all(file: int, data: bytes | memoryview) -> None:
    """os.write until nothing is left."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
