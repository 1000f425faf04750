"""What the form of a question says: whether it asks how things are now."""

import pytest

from mnemos.retrieval.question_forms import asks_for_now

NOW = [
    "What is Ana's current address?",
    "Which database does Tom use these days?",
    "What did Mei most recently adopt for styling?",
    "Who looks after her teeth at the moment?",
    "Wo arbeitet Ana zurzeit?",
    "Was ist ihre aktuelle Adresse?",
    "Welche Sprache lernt sie gerade?",
    "¿Cuál es su dirección actual?",
    "¿Dónde trabaja ahora?",
    "Où habite-t-elle en ce moment ?",
    "Quelle est son adresse actuelle ?",
    "安娜现在住在哪里？",
    "她目前的地址是什么？",
]
OTHER = [
    "Where did Ana live in May?",
    "Which part does she sing, now that she is no alto?",
    "Does she know the snow in Norway?",
    "Which currency did they pay in?",
    "Wo hat Ana im Mai gewohnt?",
    "¿Dónde vivía Ana en mayo?",
    "La actualidad de la empresa",
    "Où habitait-elle en mai ?",
    "安娜五月住在哪里？",
]


@pytest.mark.parametrize("text", NOW)
def test_a_question_of_the_present_is_one(text: str) -> None:
    assert asks_for_now(text)
    assert asks_for_now(text.upper())


@pytest.mark.parametrize("text", OTHER)
def test_other_questions_are_none(text: str) -> None:
    assert not asks_for_now(text)
