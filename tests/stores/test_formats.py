"""Every format ever released is opened, brought up to date, and says what it said."""

import json
import shutil
from pathlib import Path

import pytest

from mnemos import Memory
from mnemos.errors import NotFound
from mnemos.kernel import schema
from mnemos.testing import HashEmbedder

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").glob("vault-format-*.db"))


def test_every_format_has_its_fixture():
    assert len(FIXTURES) == schema.FORMAT


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_an_old_vault_opens(fixture, tmp_path):
    facts = json.loads(fixture.with_suffix(".json").read_text(encoding="utf-8"))
    path = tmp_path / "old.db"
    shutil.copy(fixture, path)
    with Memory(path, embedder=HashEmbedder(16), rebuild_words=True) as memory:
        assert memory.verify().problems == []
        with memory._vault.store.read() as tx:
            head = next(tx.scan(schema.HEADS, ()))
        assert (head.seq, head.hash.hex()) == (facts["seq"], facts["head"])
        assert len(memory.get_all(user_id="ana")) == 149
        assert [cube.version for cube in memory.history(facts["updated"])] == [1, 2]
        assert memory.search("tide read again", user_id="ana")[0].id == facts["updated"]
        assert memory.search("公园", user_id="ben")[0].cube.header.external_id == "b-1"
        with pytest.raises(NotFound):
            memory.get(facts["forgotten"])
        memory.add("and it can be written", user_id="ana")
        assert memory.verify().problems == []
