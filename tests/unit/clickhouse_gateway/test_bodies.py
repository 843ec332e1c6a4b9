"""Bodies in and out: neonblue_local.clickhouse.bodies."""

import gzip
import os
import zlib

import lz4.frame
import pytest
import zstandard

from neonblue_local.clickhouse.bodies import HEAD_BYTES, PACKERS, Incoming, choose_packing
from neonblue_local.clickhouse.errors import ClickHouseError

PACK = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
}


def received(data: bytes, encoding: str, folder, *, limit: int = 1 << 26, piece: int = 7919) -> Incoming:
    incoming = Incoming(encoding, limit, folder)
    for at in range(0, len(data), piece):
        incoming.take(data[at : at + piece])
    incoming.finish()
    return incoming


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES, 3 * HEAD_BYTES + 17])
def test_a_body_arrives_whole_in_any_encoding_and_size(encoding, size, tmp_path):
    data = os.urandom(size // 2) + bytes(size - size // 2)
    incoming = received(PACK[encoding](data), encoding, tmp_path)
    assert incoming.whole() == data
    file = incoming.data_file(b"before", min(1000, size))
    assert os.pread(file, size + 10, 0) == b"before" + data[min(1000, size) :]
    os.close(file)
    incoming.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip"])
def test_several_frames_one_after_the_other_are_one_body(encoding, tmp_path):
    frames = b"".join(PACK[encoding](part) for part in (b"one ", b"two ", b"three"))
    assert received(frames, encoding, tmp_path, piece=5).whole() == b"one two three"


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_a_compressed_body_that_was_cut_is_an_error(encoding, tmp_path):
    packed = PACK[encoding](os.urandom(300_000))
    with pytest.raises(ClickHouseError) as raised:
        received(packed[:-50_000], encoding, tmp_path)
    assert (raised.value.code, raised.value.status) == (374, 400)


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_a_body_that_is_not_what_it_says_is_an_error(encoding, tmp_path):
    with pytest.raises(ClickHouseError, match=f"the body is no {encoding}"):
        received(b"this is plain text, not packed at all", encoding, tmp_path)


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_the_limit_counts_unpacked_bytes(encoding, tmp_path):
    with pytest.raises(ClickHouseError, match="larger than 1000 bytes") as raised:
        received(PACK[encoding](bytes(1001)), encoding, tmp_path, limit=1000)
    assert raised.value.status == 413


def test_an_unknown_encoding_is_named(tmp_path):
    with pytest.raises(ClickHouseError, match="'br' is unknown"):
        Incoming("br", 1000, tmp_path)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [("", None), ("br, gzip", "gzip"), ("lz4,zstd", "lz4"), ("gzip;q=0, zstd;q=0.5", "zstd"), ("identity", None)],
)
def test_the_first_known_encoding_is_chosen(accepted, chosen):
    assert choose_packing(accepted) == chosen


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("parts", [[], [b"a"], [b"one", b"", os.urandom(200_000), bytes(200_000)]])
def test_what_is_packed_can_be_unpacked(encoding, parts, tmp_path):
    packer = PACKERS[encoding]()
    packed = b"".join(packer.compress(part) for part in parts) + packer.flush()
    assert received(packed, encoding, tmp_path).whole() == b"".join(parts)
