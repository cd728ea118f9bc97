"""The recorded run's scores as a sweep would have kept them: written by the kit's own writer."""

import random
from collections.abc import Sequence
from pathlib import Path

from kit.pool import load_pool
from kit.results import EVALUATIONS, ResultsFile, Score

IMAGES = 10_000


def recorded_scores(run: Path) -> list[Score]:
    """Those of the run's predictions, in an order of their own."""
    pool = load_pool(run / "predictions.json")
    assert pool.accuracies is not None
    pairs = zip(pool.architectures, pool.accuracies, strict=True)
    scores = [Score(architecture, round(accuracy * IMAGES), IMAGES) for architecture, accuracy in pairs]
    random.Random(4).shuffle(scores)
    return scores


def write_scores(run: Path, scores: Sequence[Score], *, key: str = "k", unit: int = 7, rank: int = 0) -> list[str]:
    """Append scores, some in each record, as process `rank` of a group would; returns their codes."""
    with ResultsFile(run / EVALUATIONS, key).appending(rank) as writer:
        for start in range(0, len(scores), unit):
            writer.append(scores[start : start + unit])
    return [score.architecture.code for score in scores]
