"""Posting lists say exactly what the rows said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemos.kernel.postings import decode_postings, decode_terms, encode_terms, invert, revert

hashes = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])
)
rows = st.dictionaries(hashes, st.integers(1, 65_535), max_size=8)
blocks = st.lists(rows, max_size=12)


@given(st.dictionaries(hashes, st.integers(1, 10**6), max_size=20))
def test_terms_come_back_with_counts_that_saturate(counts):
    again = decode_terms(encode_terms(counts))
    assert again == {term: min(count, 65_535) for term, count in counts.items()}
    assert list(again) == sorted(counts)
    assert len(encode_terms(counts)) == 10 * len(counts)


@given(blocks)
def test_a_block_reverts_to_its_rows(block):
    encoded = [encode_terms(row) for row in block]
    assert revert(invert(encoded), len(encoded)) == encoded
    assert revert(decode_postings(invert(encoded).encode()), len(encoded)) == encoded


@given(blocks, hashes)
def test_lookup_is_what_a_walk_over_the_rows_finds(block, stranger):
    inverted = decode_postings(invert([encode_terms(row) for row in block]).encode())
    for term in {stranger, *(term for row in block for term in row)}:
        positions, counts = inverted.lookup(term)
        wanted = [(place, row[term]) for place, row in enumerate(block) if term in row]
        assert list(zip(positions.tolist(), counts.tolist(), strict=True)) == wanted
        assert positions.dtype == np.uint32
        assert counts.dtype == np.uint16


@given(blocks)
def test_encoding_is_stable_and_hashes_ascend(block):
    inverted = invert([encode_terms(row) for row in block])
    data = inverted.encode()
    assert decode_postings(data).encode() == data
    assert inverted.hashes.tolist() == sorted({term for row in block for term in row})
    assert inverted.offsets[-1] == sum(map(len, block))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_blocks_without_words(n):
    inverted = invert([b""] * n)
    assert revert(inverted, n) == [b""] * n
    positions, counts = inverted.lookup(7)
    assert len(positions) == len(counts) == 0


def test_a_row_taken_out_leaves_no_trace():
    block = [encode_terms({5: 1, 9: 2}), encode_terms({9: 7}), encode_terms({11: 1})]
    without = revert(invert(block), 3)
    without[1] = b""
    again = invert(without)
    assert again.lookup(9)[0].tolist() == [0]
    assert revert(again, 3) == [block[0], b"", block[2]]
    assert again.encode() == invert([block[0], b"", block[2]]).encode()
