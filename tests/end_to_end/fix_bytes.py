"""Where a text stands in the files of a stack: as it is, and in what ClickHouse and Kafka keep compressed."""

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import lz4.block
import zstandard
from kafka.record import MemoryRecords

# ClickHouse: a checksum of 16 bytes, the method, the size with this header of 9 bytes, the size without compression.
_HEADER = struct.Struct("<16xBII")
_LZ4, _ZSTD, _PLAIN = 0x82, 0x90, 0x02
_CODECS = (0x91, 0x92, 0x93, 0x94, 0x95)  # several one after the other, Delta and the like: numbers, no text


def places(root: Path, needles: Sequence[bytes]) -> dict[str, list[str]]:
    """File below `root` → the needles that stand in it. A file that goes away meanwhile holds none."""
    one = re.compile(b"|".join(re.escape(needle) for needle in needles))
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        try:
            if not path.is_file():
                continue
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        hits = {hit for text in _texts(path, content) for hit in one.findall(text)}
        if hits:
            found[str(path.relative_to(root))] = sorted(hit.decode(errors="replace") for hit in hits)
    return found


def _texts(path: Path, content: bytes) -> Iterator[bytes]:
    yield content
    if "clickhouse" in path.parts and path.suffix in (".bin", ".cidx", ".cmrk", ".cmrk2", ".cmrk3"):
        yield from _of_clickhouse(content)
    if "kafka" in path.parts and ".log" in path.suffixes:
        yield from _of_kafka(content)


def _of_clickhouse(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEADER.size <= len(content):
        method, size, plain_size = _HEADER.unpack_from(content, at)
        block = content[at + _HEADER.size : at + 16 + size]
        if method == _LZ4:
            yield lz4.block.decompress(block, uncompressed_size=plain_size)
        elif method == _ZSTD:
            yield zstandard.ZstdDecompressor().decompress(block, max_output_size=plain_size)
        elif method == _PLAIN:
            yield block
        elif method not in _CODECS:
            return  # not a file of compressed blocks
        at += 16 + size


def _of_kafka(content: bytes) -> Iterator[bytes]:
    records = MemoryRecords(content)
    while records.has_next():
        batch = records.next_batch()
        if batch is None:
            return
        for record in batch:
            yield b"\n".join(part for part in (record.key, record.value) if part)
