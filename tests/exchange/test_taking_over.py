"""From archived versions to changes: every way a memory can have gone can be gone again."""

import json

import pytest

from mnemos.errors import InvalidInput
from mnemos.exchange.archive import Archived, by_memory, read_archive, read_header
from mnemos.exchange.sealed_lines import SealedLines
from mnemos.exchange.suppression_lists import is_list, read_suppressions
from mnemos.exchange.taking_over import changes_of, taken_over
from mnemos.kernel.changes import Add, Amend, Transition, Update
from mnemos.types import Header, Origin, State, Text

ID = "0" * 32


def version(text, state=State.ACTIVATED, **header):
    return Archived(
        line=1,
        id=ID,
        version=1,
        state=state,
        branch=None,
        current=True,
        header=Header(origin=Origin.IMPORT, trust=0.5, **header),
        payload=Text(text=text),
    )


def kinds(*versions):
    return [type(change) for change in changes_of(versions)]


def test_each_step_becomes_the_change_that_makes_it():
    assert kinds(version("a")) == [Add]
    assert kinds(version("a"), version("b")) == [Add, Update]
    assert kinds(version("a"), version("a")) == [Add]
    assert kinds(version("a"), version("a", State.ARCHIVED)) == [Add, Transition]
    assert kinds(version("a"), version("a", frozen=True)) == [Add, Amend]
    assert kinds(version("a"), version("a", tags=("x",), frozen=True)) == [Add, Update]
    assert kinds(version("a", State.ARCHIVED)) == [Add, Transition]


def test_where_no_single_step_leads_the_shortest_way_is_gone():
    changes = changes_of([version("a", State.ARCHIVED), version("b", State.MERGED)])
    states = [item.state for item in changes if isinstance(item, Transition)]
    assert states == [State.ARCHIVED, State.ACTIVATED]
    assert changes[-1].draft.state is State.MERGED
    dead_end = changes_of([version("a", State.EXPIRED), version("a")])
    assert dead_end[-1] == Transition(id=ID, state=State.ACTIVATED)


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("trust", [0.0, 0.3, 0.5, 1.0])
def test_trust_is_never_raised(origin, trust):
    header = taken_over(Header(origin=origin, trust=trust, tags=("kept",), hold=True))
    assert header.trust == min(trust, 0.5)
    assert header.origin not in (Origin.USER, Origin.AGENT)
    assert header.tags == ("kept",)
    assert header.hold


def sealed(path, *values):
    with path.open("wb") as file:
        lines = SealedLines(file)
        for value in values:
            lines.write(value)
        lines.end()
    return path


HEADER = {
    "format": "mnemos-archive-1",
    "tenant": "t",
    "subject": "user:ana",
    "exported_at": "2026-01-01T00:00:00+00:00",
    "journal": {"seq": 1, "head": "00"},
    "counts": {"memories": 1},
}
VERSION = {
    "type": "version",
    "id": ID,
    "version": 1,
    "state": "activated",
    "retired_seq": None,
    "header": {},
    "payload": {"type": "text", "text": "a"},
}


def test_versions_are_read_and_grouped_by_their_memory(tmp_path):
    other = VERSION | {"id": "1" * 32}
    path = sealed(
        tmp_path / "a.jsonl", HEADER, VERSION, VERSION | {"version": 2}, {"type": "new"}, other
    )
    assert read_header(path).subject == "user:ana"
    groups = list(by_memory(read_archive(path)))
    assert [[item.line for item in group] for group in groups] == [[2, 3], [5]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../../etc"},
        {"id": None},
        {"state": "undead"},
        {"version": "one"},
        {"payload": {"type": "text"}},
        {"payload": {"type": "song", "text": "a"}},
        {"payload": []},
        {"header": {"unknown": 1}},
        {"header": {"kind": "song"}},
        {"header": {"happened_at": 7}},
        {"header": []},
    ],
)
def test_a_version_that_cannot_be_read_is_named_by_its_line(tmp_path, wrong):
    path = sealed(tmp_path / "a.jsonl", HEADER, VERSION, VERSION | wrong)
    with pytest.raises(InvalidInput, match=r"a\.jsonl, line 3: "):
        list(read_archive(path))


@pytest.mark.parametrize(
    "header", [{"format": "x"}, {}, {"format": "mnemos-archive-1"}, HEADER | {"journal": 1}]
)
def test_a_file_that_is_no_archive_is_refused(tmp_path, header):
    path = sealed(tmp_path / "a.jsonl", header)
    with pytest.raises(InvalidInput, match="line 1: "):
        read_header(path)


def test_a_suppression_list_is_read_whole_or_not_at_all(tmp_path):
    head = {"format": "mnemos-suppressions-1", "tenant": "t", "created": "2026"}
    path = sealed(tmp_path / "s.jsonl", head, {"id": ID, "seq": 1, "at": None})
    assert is_list(path)
    found = read_suppressions(path)
    assert (found.tenant, found.ids) == ("t", (ID,))
    with pytest.raises(InvalidInput, match="line 2"):
        read_suppressions(sealed(tmp_path / "n.jsonl", head, {"seq": 1}))
    archive = sealed(tmp_path / "a.jsonl", HEADER)
    assert not is_list(archive)
    with pytest.raises(InvalidInput, match="not a suppression list"):
        read_suppressions(archive)
    assert json.loads(path.read_text().splitlines()[0])["tenant"] == "t"
