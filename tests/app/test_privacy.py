"""Secrets and personal data: taken out before anything is written, kept sealed, or masked on reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mnemos import Memory
from mnemos.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MnemosError,
    ModelError,
    NotFound,
    TooLittleTrust,
)
from mnemos.kernel import schema
from mnemos.kernel.copies.byte_search import ByteSearch
from mnemos.kernel.governance.system import SYSTEM
from mnemos.testing import HashEmbedder, SimClock
from mnemos.types import Draft, Header, Kind, Link, Text, TimeMention

Open = Callable[..., Memory]
ANA = {"user_id": "ana"}
MAIL, PHONE = "ann.lee@sea-club.org", "+351 912 345 678"
SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
SAID = f"Write to {MAIL} or call {PHONE}, the token is {SECRET}"
RAW = (MAIL, PHONE, SECRET, "ann.lee", "sea-club", "912 345")


class Listening(HashEmbedder):
    """An embedder that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(8)
        self.heard: list[str] = []

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        self.heard += texts
        return super().embed(texts, query=query)


class Failing(HashEmbedder):
    """An embedder that can do nothing; the second time it says what it was given."""

    calls = 0

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        self.calls += 1
        raise ModelError("no room") if self.calls == 1 else ValueError(f"no room for {texts[0]}")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "keys" / "seal"
    file.parent.mkdir()
    file.write_bytes(bytes(range(32)))
    return file


def assert_nowhere(memory: Memory, folder: Path, words: Sequence[str] = RAW) -> None:
    """Check that no byte of a vault's files, log and blobs included, says one of the words."""
    memory._vault.flush_usage()
    wanted = [word.encode() for word in words]
    files = [file for file in folder.rglob("vault*") if file.is_file()]
    files += [file for file in folder.rglob("vault*/**/*") if file.is_file()]
    assert any(file.name.endswith("-wal") for file in files)
    held = b"\n".join(file.read_bytes() for file in files)
    assert list(ByteSearch(wanted, most=1).find(held)) == []
    for _, piece in memory._vault.store.images():
        assert list(ByteSearch(wanted, most=1).find(piece)) == []


def personal(**more: Any) -> Draft:
    """Return a draft with an address in every field in which people write."""
    header = Header(
        speaker=f"Ann <{MAIL}>",
        caption=f"a card of {MAIL}",
        source=f"mailto:{MAIL}",
        tags=(MAIL, "plain"),
        entities=(MAIL,),
        metadata={MAIL: {"deep": [MAIL, 3]}, "n": None},
        **more,
    )
    return Draft(payload=Text(text=SAID), header=header)


# --- before anything is written ----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mask", "vault"])
def test_what_is_taken_out_reaches_no_byte_and_no_embedder(
    open_at: Open, tmp_path: Path, key: Path, mode: str
) -> None:
    embedder = Listening()
    memory = open_at(tmp_path / "vault.db", embedder=embedder, seal_key=key)
    memory.set_redaction(mode, **ANA)
    first = memory.add(SAID, metadata={"mail": MAIL}, tags=[MAIL], source=f"mailto:{MAIL}", **ANA)
    memory.update(first.id, f"now {SAID}", metadata={"again": MAIL})
    memory.contradict(memory.supersede(first.id, f"then {SAID}").id, f"or {SAID}", at="2026-02-01")
    memory.consolidate([cube.id for cube in memory.get_all(**ANA)][:2], f"both {SAID}")
    memory.add(SAID + " large" * 180_000, **ANA)
    memory.add_many([personal()], **ANA)
    (tmp_path / "talk.md").write_text(f"**User:** {SAID}\n")
    memory.ingest(tmp_path / "talk.md", **ANA)
    with memory.begin() as tx:
        tx.add(SAID, **ANA)
        assert MAIL not in str(tx.get_all(**ANA))
    memory.reembed()
    memory.run_jobs()
    assert len(embedder.heard) >= 4
    assert not [text for text in embedder.heard for word in RAW if word in text]
    assert_nowhere(memory, tmp_path)
    cubes = memory.get_all(**ANA)
    assert len(cubes) >= 4
    assert not [word for cube in cubes for word in RAW if word in str(cube)]
    assert memory.verify().problems == []


def test_the_scan_of_bytes_finds_what_no_rule_took_out(open_at: Open, tmp_path: Path) -> None:
    memory = open_at(tmp_path / "vault.db")
    memory.add(SAID, **ANA)
    with pytest.raises(AssertionError):
        assert_nowhere(memory, tmp_path)
    assert_nowhere(memory, tmp_path, ["somebody@else.org"])


def test_a_masked_text_says_what_was_there(memory: Memory) -> None:
    memory.set_redaction("mask", classes=["email", "phone"], **ANA)
    cube = memory.get(memory.add_many([personal()], **ANA).id)
    assert cube.text == f"Write to [EMAIL] or call [PHONE], the token is {SECRET}"
    assert cube.header.metadata == {"[EMAIL]": {"deep": ["[EMAIL]", 3]}, "n": None}
    assert (cube.header.tags, cube.header.entities) == (("[EMAIL]", "plain"), ("[EMAIL]",))
    assert (cube.header.source, cube.header.caption) == ("mailto:[EMAIL]", "a card of [EMAIL]")
    rule = memory.redaction(**ANA)
    assert (rule.mode, rule.classes, rule.everywhere) == ("mask", ("email", "phone"), False)
    memory.drop_redaction(**ANA)
    assert memory.redaction(**ANA) is None
    assert MAIL in memory.get(memory.add(SAID, **ANA).id).text
    assert MAIL not in memory.get(cube.id).text


def test_the_rule_of_a_scope_stands_before_the_tenants(memory: Memory) -> None:
    memory.set_redaction("mask", classes="email", everywhere=True)
    memory.set_redaction("mask", classes="phone", **ANA)
    assert memory.get(memory.add(SAID, user_id="ben").id).text.startswith(
        "Write to [EMAIL] or call +"
    )
    assert memory.get(memory.add(SAID, **ANA).id).text.startswith(
        f"Write to {MAIL} or call [PHONE]"
    )
    assert memory.redaction(user_id="ben").everywhere


def test_tool_output_and_mentions_are_cleaned_as_well(memory: Memory) -> None:
    memory.set_redaction("mask", classes="email", **ANA)
    schema = {"type": "object", "properties": {"from": {"enum": [MAIL]}}}
    id = memory.add_tool_output({"from": MAIL}, schema, tool="mail", **ANA).id
    assert memory.get(id).text == "mail: from = [EMAIL]"
    at = memory.get(id).recorded_at
    said = TimeMention(text=f"when {MAIL} came", start=at, end=at)
    id = memory.add_many([personal(mentions=(said,))], **ANA).id
    assert memory.get(id).header.mentions[0].text == "when [EMAIL] came"


# --- kept sealed -------------------------------------------------------------------------------


def test_vaulted_values_come_back_with_the_key_alone(
    open_at: Open, path: str, key: Path, tmp_path: Path
) -> None:
    memory = open_at(path, seal_key=key)
    memory.set_redaction("vault", **ANA)
    id = memory.add(SAID, **ANA).id
    text = memory.get(id).text
    assert text.count("[EMAIL:") == text.count("[PHONE:") == 1
    assert memory.reveal(id).text == memory.reveal(id, key=key).text == SAID
    other = tmp_path / "other"
    other.write_bytes(bytes(32))
    with pytest.raises(InvalidInput, match="does not open"):
        memory.reveal(id, key=other)
    again = memory.add(f"And {MAIL} again", **ANA).id
    token = text.split("to ")[1].split(" or")[0]
    assert token in memory.get(again).text, "the same value has the same token"
    assert {hit.id for hit in memory.search(token, **ANA)} >= {id, again}
    memory.update(id, f"{text} and bob@sea-club.org")
    assert memory.reveal(id).text.endswith("bob@sea-club.org")


def test_without_a_key_nothing_is_vaulted_and_nothing_written(
    open_at: Open, tmp_path: Path, key: Path
) -> None:
    with open_at(tmp_path / "vault.db", seal_key=key) as memory:
        memory.set_redaction("vault", **ANA)
        id = memory.add(SAID, **ANA).id
    keyless = open_at(tmp_path / "vault.db")
    before = keyless.stats()
    for call in (
        lambda: keyless.add(SAID, **ANA),
        lambda: keyless.update(id, SAID),
        lambda: keyless.reveal(id),
        lambda: keyless.set_redaction("vault", **ANA),
    ):
        with pytest.raises(InvalidInput, match="seal_key") as caught:
            call()
        assert MAIL not in str(caught.value)
    assert keyless.stats() == before
    assert keyless.reveal(id, key=key).text == SAID


def test_a_vaulted_memory_is_forgotten_with_its_values(
    open_at: Open, tmp_path: Path, key: Path
) -> None:
    memory = open_at(tmp_path / "vault.db", seal_key=key)
    memory.set_redaction("vault", **ANA)
    id = memory.add(SAID, **ANA).id
    sealed = [value for _, value in memory.get(id).header.sealed]
    assert len(sealed) == 3
    assert memory.forget(id, verify=True).places[-1].status == "purged"
    assert_nowhere(memory, tmp_path, [*RAW, *sealed])


# --- masked on reading -------------------------------------------------------------------------


def test_what_is_masked_on_reading_is_shown_to_who_may(memory: Memory, key: Path) -> None:
    memory.set_redaction("read", classes="email", **ANA)
    id = memory.add_many([personal(kind=Kind.FACT)], **ANA).id
    memory.grant("user:ben", "read", **ANA)
    memory.grant("user:cleo", "read", unmasked=True, **ANA)
    for who, wanted in {"user:ben": False, "user:cleo": True, "user:ana": True}.items():
        handle = memory.acting_as(who)
        said = (
            handle.get(id),
            handle.get_all(**ANA),
            handle.history(id),
            handle.search("write token", **ANA),
            handle.context("token", **ANA),
        )
        assert [MAIL in str(item) for item in said] == [wanted] * 5, who
        assert len(said[3]) == 1
    with pytest.raises(Forbidden, match="unmasked"):
        memory.acting_as("user:ben").reveal(id, key=key)
    assert MAIL in memory.acting_as("user:cleo").reveal(id, key=key).text
    memory.drop_redaction(**ANA)
    assert MAIL in memory.acting_as("user:ben").get(id).text


def test_a_grant_unmasks_what_it_reaches_and_no_more(memory: Memory, key: Path) -> None:
    memory.set_redaction("read", classes="email", **ANA)
    turn, fact = (memory.add(SAID, kind=kind, **ANA).id for kind in ("turn", "fact"))
    memory.grant("user:ben", "read", **ANA)
    memory.grant("user:ben", "read", kinds="fact", unmasked=True, **ANA)
    ben = memory.acting_as("user:ben")
    assert (MAIL in ben.get(fact).text, MAIL in ben.get(turn).text) == (True, False)
    found = {cube.id: MAIL in cube.text for cube in ben.get_all(**ANA)}
    assert found == {turn: False, fact: True}
    with pytest.raises(Forbidden):
        ben.reveal(turn, key=key)


def test_what_is_masked_cannot_be_filtered_for(memory: Memory) -> None:
    memory.set_redaction("read", classes="email", **ANA)
    memory.add_many([personal()], **ANA)
    memory.grant("user:ben", "read", **ANA)
    for filters in ({"tags": {"contains": MAIL}}, {"source": f"mailto:{MAIL}"}):
        assert memory.acting_as("user:ben").get_all(filters=filters, **ANA) == []
        assert len(memory.get_all(filters=filters, **ANA)) == 1


def test_a_label_hides_a_memory_from_who_is_not_cleared(memory: Memory) -> None:
    id = memory.add("Ana has asthma", sensitivity="health", **ANA).id
    memory.add("Ana sails", **ANA)
    memory.grant("user:ben", "read", **ANA)
    memory.grant("user:cleo", "read", labels="health", **ANA)
    ben, cleo = memory.acting_as("user:ben"), memory.acting_as("user:cleo")
    assert [cube.text for cube in ben.get_all(**ANA)] == ["Ana sails"]
    assert [hit.text for hit in ben.search("asthma Ana", **ANA)] == ["Ana sails"]
    assert "asthma" not in ben.context("asthma", **ANA).text
    for call in (ben.get, ben.history, ben.usage):
        with pytest.raises(MnemosError) as caught:
            call(id)
        assert "asthma" not in str(caught.value)
    assert cleo.get(id).header.sensitivity == "health"
    memory.update(id, "Ana has asthma and a cold")
    assert memory.get(id).header.sensitivity == "health"


# --- errors and jobs say nothing ---------------------------------------------------------------

CANARY = "canary-7f3a the diagnosis nobody may read"


def _failing(memory: Memory, id: str) -> list[tuple[type[MnemosError], Callable[[], object]]]:
    bad = Draft(payload=Text(text=CANARY), header=Header(links=(Link(type="x", target="gone"),)))
    schema = {"type": "object", "properties": {"sea": {"enum": ["calm"]}}}
    return [
        (Conflict, lambda: memory.add(CANARY, external_id="e1", **ANA)),
        (InvalidInput, lambda: memory.add(CANARY, kind="dream", **ANA)),
        (InvalidInput, lambda: memory.add(CANARY, metadata={"a": float("nan")}, **ANA)),
        (InvalidInput, lambda: memory.add([{"role": "user", "content": CANARY}, {"x": 1}], **ANA)),
        (NotFound, lambda: memory.add(CANARY, derived_from=["f" * 32], **ANA)),
        (NotFound, lambda: memory.update("f" * 32, CANARY)),
        (MnemosError, lambda: memory.update(id, CANARY, expected_version=7)),
        (TooLittleTrust, lambda: memory.update(id, CANARY, origin="tool")),
        (TooLittleTrust, lambda: memory.supersede(id, CANARY, origin="tool")),
        (InvalidInput, lambda: memory.consolidate([id, id], CANARY)),
        (InvalidInput, lambda: memory.add_tool_output({"sea": CANARY}, schema, tool="w", **ANA)),
        (Forbidden, lambda: memory.acting_as("user:ben").add(CANARY, **ANA)),
        (Forbidden, lambda: memory.acting_as("user:ben").add_many([bad], **ANA)),
        (InvalidInput, lambda: memory.enqueue_job("note", {"words": CANARY})),
    ]


def test_errors_hold_nothing_of_a_memory(memory: Memory) -> None:
    id = memory.add(f"{CANARY}, said before", external_id="e1", **ANA).id
    memory.set_intake(origin="import", bytes_each=10, **ANA)
    calls = _failing(memory, id)
    calls.append((MnemosError, lambda: memory.add(CANARY, origin="import", **ANA)))
    for kind, call in calls:
        with pytest.raises(kind) as caught:
            call()
        error: BaseException | None = caught.value
        while error is not None:
            assert "canary" not in f"{error} {error.args} {getattr(error, '__notes__', '')}"
            error = error.__cause__
    assert [cube.id for cube in memory.get_all(**ANA)] == [id]


def test_jobs_that_fail_keep_nothing_of_a_memory(open_at: Open, path: str, clock: SimClock) -> None:
    memory = open_at(path, embedder=Failing(8))
    memory.add(CANARY, **ANA)

    def fail(work: object) -> None:
        raise ValueError(f"no room for {CANARY}")

    memory.register_job("fail", fail)
    memory.enqueue_job("fail", **ANA)
    clock.advance(minutes=1)
    memory.run_jobs()
    assert [job.error for job in memory.jobs()] == ["ValueError", "ValueError"]
    assert "canary" not in str(memory.jobs())
    with memory._vault.store.read(SYSTEM) as tx:
        assert "canary" not in str(list(tx.scan(schema.JOBS, ())))


# --- marks -------------------------------------------------------------------------------------


def test_a_marked_text_says_which_copy_it_is(memory: Memory, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(32))
    for n in range(12):
        memory.add(f"On day {n} Ana sailed with Ben past the lighthouse and back again", **ANA)
    text = memory.context("lighthouse", **ANA).text
    marked = memory.watermark(text, key=key, number=4_000_000_000)
    assert marked != text
    assert "".join(sign for sign in marked if not "\u2061" <= sign <= "\u2064") == text
    found = memory.read_watermark(marked[len(marked) // 3 :], key=key)
    assert found.number == 4_000_000_000
    assert memory.read_watermark(marked, key=other).number is None
    assert memory.read_watermark(text, key=key).number is None
