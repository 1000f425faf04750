"""The provenance file says what the code does."""

import json
from pathlib import Path

from mnemos.retrieval import rank, redundancy, signals

FILE = json.loads((Path(rank.__file__).parent / "ranker.json").read_text(encoding="utf-8"))


def test_the_file_and_the_code_agree():
    assert FILE["name"] == rank.NAME
    assert FILE["constant"] == rank.CONSTANT
    assert FILE["bm25"] == {"k1": signals.K1, "b": signals.B}
    assert set(FILE["lists"]) | {"speaker", "time", "repeat", "outdated", "spread"} == set(
        rank.DESCRIPTIONS
    )
    assert FILE["foreign"] == rank.FOREIGN
    assert FILE["redundancy"] == {
        "same": redundancy.SAME,
        "repeated": redundancy.REPEATED,
        "alike": redundancy.ALIKE,
        "outdated": redundancy.OUTDATED,
        "spread": redundancy.SPREAD,
        "pool": rank.POOL,
    }


def test_nothing_is_fitted_and_the_choices_are_told():
    assert FILE["fitted"] is False
    assert len(FILE["provenance"]) >= 3
