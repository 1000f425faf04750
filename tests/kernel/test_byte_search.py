"""Many byte strings found in one pass are those a plain search finds."""

from hypothesis import given
from hypothesis import strategies as st

from mnemos.kernel.copies.byte_search import LEAST, ByteSearch

DATA = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"\0", b"a", b"ab", b"\0\0\0\0", b"xyzzy"]), max_size=120).map(
        b"".join
    ),
)


@st.composite
def searches(draw):
    data = draw(DATA)
    cuts = st.tuples(st.integers(0, 300), st.integers(LEAST, 60)).map(
        lambda cut: data[cut[0] : cut[0] + cut[1]]
    )
    wanted = draw(st.lists(st.one_of(cuts, st.binary(min_size=LEAST, max_size=20)), max_size=12))
    return data, [item for item in dict.fromkeys(wanted) if len(item) >= LEAST]


def plainly(data, wanted):
    return [
        (number, at)
        for number, item in enumerate(wanted)
        for at in range(len(data))
        if data.startswith(item, at)
    ]


@given(searches())
def test_it_finds_what_a_plain_search_finds(search):
    data, wanted = search
    assert sorted(ByteSearch(wanted, most=1 << 30).find(data)) == plainly(data, wanted)


@given(searches())
def test_it_misses_none_for_the_limit(search):
    data, wanted = search
    found = {number for number, _ in ByteSearch(wanted, most=1).find(data)}
    assert found == {number for number, _ in plainly(data, wanted)}
