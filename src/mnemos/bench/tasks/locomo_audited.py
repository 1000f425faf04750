"""LoCoMo with the evidence that an audit of the data set corrected, beside the annotators' own.

The audit is joined into ``qa_normalized*.jsonl.gz``; a question it found no error in keeps its
evidence.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mnemos.bench.tasks import locomo

TASK = replace(
    locomo.TASK,
    name="locomo_audited",
    title="LoCoMo, evidence as corrected by an audit (not shipped)",
    load=partial(locomo.load, audited=True),
)
