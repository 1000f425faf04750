"""How likely it is that a question's best hits answer it, from 0 to 1, by what was scored anyway.

Two numbers, and their mean. *Words*: what one of the best hits holds of the question's words, each
weighed by how rare it is on the page; a name or a word that stands nowhere is rarest. One hit has
to hold them together: who says it is part of its words, so that a question about somebody else
than the one who said it finds less. *Meaning*: the highest cosine of these hits. Without vectors it
is the words alone, on a page so large that frequent words are not looked up the meaning alone.
Nothing is fitted.

It tells a question about something that was never spoken of from one that was. It does not tell
that of a thing much spoken of one detail was left out; ``benchmarks/abstention.py`` measures both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnemos.retrieval.rank import Ranked

LOOKED_AT = 5
"""Best hits that are judged."""

UNLIKELY = 0.25
"""Below this, where meaning was compared too, probably nothing answers the question: of questions
asked to another conversation half or more lie below, of those a conversation answers one in a
hundred at most."""

_DECIMALS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """How likely a question is answered, and the two numbers it is the mean of.

    Parameters
    ----------
    words : float or None
        Largest share of the question's words that one hit holds; None where it has none, and on
        a large page, of which not every word is looked up.
    meaning : float or None
        Highest cosine of a hit, 0 at least; None where no vectors were compared.
    """

    words: float | None = None
    meaning: float | None = None

    @property
    def parts(self) -> dict[str, float]:
        """What there is, by name."""
        both = {"words": self.words, "meaning": self.meaning}
        return {name: part for name, part in both.items() if part is not None}

    @property
    def value(self) -> float:
        """The mean of what there is, from 0 to 1; 0 where there is nothing.

        >>> Judgement(words=0.5, meaning=0.75).value
        0.625
        """
        given = self.parts.values()
        return round(sum(given) / len(given), _DECIMALS) if given else 0.0


def judge(ranked: Sequence[Ranked]) -> Judgement:
    """Return how likely the best of some hits answer their question.

    Parameters
    ----------
    ranked : sequence of Ranked
        Of one ranking, best first.
    """
    if not ranked:
        return Judgement()
    evidence, best = ranked[0].evidence, [item.row for item in ranked[:LOOKED_AT]]
    near = evidence.lists.get("meaning")
    meaning = None if near is None else float(np.clip(near[best].max(), 0, 1))
    held = evidence.counts > 0
    if not len(held) or not evidence.whole:  # a frequent word would look like one never said
        return Judgement(meaning=meaning)
    rarity = np.log1p(held.shape[1] / (1.0 + held.sum(axis=1)))
    share = float((rarity @ held[:, best]).max() / rarity.sum())
    return Judgement(words=round(min(share, 1.0), _DECIMALS), meaning=meaning)
