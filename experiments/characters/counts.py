"""The next character from a table of counts: what a network has to beat.

python experiments/characters/counts.py   # fills its place on the page
"""

from pathlib import Path

import numpy as np

from spikern._utils import atomic
from spikern.data import load
from spikern.report import markdown
from spikern.retrieval import bits
from spikern.retrieval.ngrams import counted, histories, probabilities, text_of

PAGE = Path(__file__).parent / "README.md"
ORDERS = range(1, 9)
PRIORS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


def bits_by_order() -> str:
    """Bits of every order, with the prior that is best on validation; the best order is bold."""
    dataset = load("tinyshakespeare")
    size = dataset.classes
    train, *others = map(text_of, (dataset.train, dataset.validation, dataset.test))
    validation, test = (counted(train, text, max(ORDERS), size) for text in others)
    rows = []
    for order in ORDERS:
        judged, tested = (counts[: order + 1] for counts in (validation, test))
        reached, prior = min((bits(probabilities(judged, p, size)), p) for p in PRIORS)
        entries = len(np.unique(histories(train, order, size) * size + train))
        rows.append((reached, order, prior, entries, bits(probabilities(tested, prior, size))))
    best = min(rows)[1]
    lines = [
        [
            f"**{order}**" if order == best else f"{order}",
            f"{prior:g}",
            f"{entries:,}",
            f"{reached:.3f}",
            f"{tested:.3f}",
        ]
        for reached, order, prior, entries, tested in rows
    ]
    head = ["characters before", "prior", "entries", "validation, bits", "test, bits"]
    return markdown.table(head, lines)


if __name__ == "__main__":
    atomic.write(PAGE, markdown.filled(PAGE.read_text(), {"counts": bits_by_order()}))
