"""A large page gives what a small one gives, or nearly; and what it hides stays hidden.

What makes a page large is lowered to a few hundred rows. The same vault is then read twice: by
candidates and codes, and exactly.
"""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mnemos import Memory
from mnemos.kernel import arrays as page_arrays
from mnemos.kernel import codes, pages
from mnemos.kernel.pages import PageCache
from mnemos.kernel.tokens import query_terms, term_hash
from mnemos.retrieval import large_pages, rank
from mnemos.testing import HashEmbedder
from mnemos.types import Draft, Header, Text

LARGE = 300
ROWS = 900
DAY = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = [f"{first}{second}" for first in ("bar", "lem", "tov", "kir") for second in "abcdefghijklm"]


@contextmanager
def large_from(rows):
    with pytest.MonkeyPatch.context() as patch:
        for module in (codes, pages, page_arrays, rank):
            patch.setattr(module, "LARGE_ROWS", rows)
        patch.setattr(codes, "ROWS_PER_CELL", 30)
        patch.setattr(codes, "FEWEST_PROBES", 2)
        patch.setattr(codes, "MORE_PROBES", 2)
        patch.setattr(codes, "MOST_LOOSE", 100)
        yield


@pytest.fixture(autouse=True)
def small():
    with large_from(LARGE):
        yield


def turns(count, seed=1, first=0):
    random = np.random.default_rng(seed)
    for place in range(first, first + count):
        said = " ".join(random.choice(WORDS, size=int(random.integers(3, 9))))
        moment = DAY + timedelta(days=place // 20, minutes=place % 20)
        header = Header(run_id=f"s{place // 20}", speaker="Ana", happened_at=moment, role="user")
        yield Draft(payload=Text(text=f"{said} n{place}"), header=header)


@pytest.fixture
def memory(tmp_path):
    with Memory(tmp_path / "m.db", embedder=HashEmbedder(64)) as memory:
        memory.add_many(turns(ROWS), user_id="u")
        yield memory


def page_of(memory, user="u"):
    view = memory._view(memory._scope(user, None, None))
    with memory._vault.reader(view) as reader:
        return reader.page()


def questions(count=40, seed=8):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, size=3)) for _ in range(count)]


def texts(memory, question, **scope):
    return [hit.text for hit in memory.search(question, user_id="u", top_k=10, **scope)]


def test_nearly_the_same_hits_as_by_looking_at_everything(memory, monkeypatch):
    monkeypatch.setattr(large_pages, "CANDIDATES", 64)
    memory.search("anything", user_id="u")
    memory._vault.cache.settle()
    arrays, _ = page_of(memory)
    assert isinstance(arrays.stack._pieces[0][0], codes.Codes)
    assert len(arrays.stack._cells) == ROWS
    ours = [texts(memory, question) for question in questions()]
    with large_from(10**9):
        memory._vault.cache = PageCache()
        exact = [texts(memory, question) for question in questions()]
    same = [len(set(one) & set(other)) for one, other in zip(ours, exact, strict=True)]
    assert np.mean(same) >= 9.0
    assert sum(one[0] == other[0] for one, other in zip(ours, exact, strict=True)) >= 32


def test_the_same_hits_while_cells_are_looked_for_and_after_a_restart(memory, tmp_path):
    before = [texts(memory, question) for question in questions(10)]
    memory._vault.cache.settle()
    assert [texts(memory, question) for question in questions(10)] == before
    memory.close()
    with Memory(tmp_path / "m.db", embedder=HashEmbedder(64)) as again:
        again.search("anything", user_id="u")
        again._vault.cache.settle()
        assert [texts(again, question) for question in questions(10)] == before


def test_a_page_that_grows_is_what_it_would_be_read_afresh(memory):
    memory.search("anything", user_id="u")
    for step in range(6):
        memory.add_many(turns(30, seed=20 + step, first=ROWS + 30 * step), user_id="u")
        memory.add(f"a word alone {step}", user_id="u", run_id=f"s{step}")
        grown, _ = page_of(memory)
        order = grown.conversation_order()
        fresh = PageCache()
        memory._vault.cache, held = fresh, memory._vault.cache
        read, _ = page_of(memory)
        memory._vault.cache = held
        assert np.array_equal(grown.columns, read.columns)
        assert np.array_equal(order, read.conversation_order())
        for part in ("coarse", "fine", "scale"):
            ours, theirs = (getattr(p.stack._pieces[0][0], part) for p in (grown, read))
            assert np.array_equal(ours, theirs)
        for word in ("alone", WORDS[0], WORDS[9]):
            term = hash_of(word)
            assert all(map(np.array_equal, grown.lookup(term), read.lookup(term)))
    assert codes.basis(ROWS) < codes.basis(len(grown))


def test_a_page_that_grew_answers_as_one_that_is_read(memory, monkeypatch):
    """Also where it grew over the size from which its cells are made anew."""
    monkeypatch.setattr(large_pages, "CANDIDATES", 64)
    for step in range(7):
        memory.search("anything", user_id="u")
        memory._vault.cache.settle()
        memory.add_many(turns(30, seed=20 + step, first=ROWS + 30 * step), user_id="u")
    memory.search("anything", user_id="u")
    memory._vault.cache.settle()
    before = [[(hit.id, hit.score) for hit in memory.search(q, user_id="u")] for q in questions()]
    memory._vault.cache = PageCache()
    memory.search("anything", user_id="u")
    memory._vault.cache.settle()
    again = [[(hit.id, hit.score) for hit in memory.search(q, user_id="u")] for q in questions()]
    assert again == before


def hash_of(word):
    return term_hash(query_terms(word)[0])


def test_a_page_becomes_large_under_our_eyes(tmp_path):
    with Memory(tmp_path / "grows.db", embedder=HashEmbedder(64)) as memory:
        memory.add_many(turns(LARGE - 5), user_id="u")
        before = texts(memory, "bara leme")
        assert isinstance(page_of(memory)[0].stack._pieces[0][0], np.ndarray)
        memory.add_many(turns(10, seed=4, first=LARGE), user_id="u")
        assert isinstance(page_of(memory)[0].stack._pieces[0][0], codes.Codes)
        assert len(set(texts(memory, "bara leme")) & set(before)) >= 7


def test_what_is_forgotten_expired_ended_or_updated_is_not_found(memory):
    memory.search("anything", user_id="u")
    gone = memory.add("zeppelin one", user_id="u")
    old = memory.add("zeppelin two", user_id="u")
    brief = memory.add("zeppelin three", user_id="u", expires_at=DAY + timedelta(days=3650))
    ended = memory.add("zeppelin four", user_id="u", valid_to=DAY)
    assert "zeppelin one" in texts(memory, "zeppelin")
    assert "zeppelin three" in texts(memory, "zeppelin")
    memory.update(old.ids[0], "balloon two", user_id="u")
    memory.forget(gone.ids[0], user_id="u")
    found = memory.search("zeppelin", user_id="u", top_k=50)
    assert not {gone.ids[0], ended.ids[0]} & {hit.id for hit in found}
    assert "zeppelin two" not in [hit.text for hit in found]
    assert brief.ids[0] in [hit.id for hit in found]


def test_the_mask_of_today_is_the_one_worked_out_row_by_row(memory):
    memory.add("ends", user_id="u", valid_to=DAY)
    memory.add("begins", user_id="u", valid_from=DAY + timedelta(days=9000))
    memory.add("expires", user_id="u", expires_at=DAY + timedelta(days=3650))
    memory.forget(memory.add("goes", user_id="u").ids[0], user_id="u")
    memory.update(memory.add("changes", user_id="u").ids[0], "has changed", user_id="u")
    arrays, mask = page_of(memory)
    view = memory._view(memory._scope("u", None, None))
    assert np.array_equal(mask, arrays._shown(view, slice(None)))
    assert 0 < (~mask).sum() < 10


def test_who_may_see_little_of_a_large_page_finds_that_little(memory):
    """The nearest cells hold what is hidden; then everything that may be seen is looked at."""
    memory.add_many(
        [
            Draft(payload=Text(text=f"bara shared {n}"), header=Header(run_id="open"))
            for n in range(4)
        ],
        user_id="u",
    )
    memory.search("anything", user_id="u")
    memory._vault.cache.settle()
    found = memory.search("bara", user_id="u", run_id="open", top_k=10)
    assert sorted(hit.text for hit in found) == [f"bara shared {n}" for n in range(4)]
    arrays, _ = page_of(memory)
    mask = np.zeros(len(arrays), bool)
    mask[-350:] = True
    query = HashEmbedder(64).embed(["bara"], query=True)[0]
    near = arrays.stack.near(query, mask, 200)
    assert mask[near].all()
    assert len(near) == 200


def test_frequent_words_are_passed_over_and_rare_ones_are_not(memory, monkeypatch):
    monkeypatch.setattr(large_pages, "MOST_POSTINGS", 5)
    memory.add_many(turns(1, seed=77, first=5_000), user_id="u")
    (hit, *_) = memory.search(f"{WORDS[0]} {WORDS[1]} n5000", user_id="u")
    assert hit.text.endswith("n5000")


def test_a_question_of_words_that_nobody_said(memory):
    hits = memory.search("xyzzy", user_id="u")
    assert {reason.signal for hit in hits for reason in hit.why} <= {
        "meaning",
        "window-meaning",
    }


def test_without_an_embedder_a_large_page_is_searched_by_words(tmp_path):
    with Memory(tmp_path / "w.db", embedder=None) as memory:
        memory.add_many(turns(ROWS), user_id="u")
        (hit, *_) = memory.search("n123", user_id="u")
        assert hit.text.endswith("n123")
        assert not memory.search("xyzzy", user_id="u")


def test_the_past_and_branches_of_a_large_page(memory):
    memory.search("anything", user_id="u")
    memory.snapshot("before", user_id="u")
    branch = memory.branch("aside", user_id="u")
    memory.add("zeppelin afterwards", user_id="u")
    assert texts(memory, "zeppelin")[0] == "zeppelin afterwards"
    for elsewhere in (memory.view(as_of="before", user_id="u"), branch):
        found = [hit.text for hit in elsewhere.search("zeppelin bara leme", top_k=10)]
        assert len(found) == 10
        assert "zeppelin afterwards" not in found
