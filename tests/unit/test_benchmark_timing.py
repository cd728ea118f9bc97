"""A benchmark repeats until its ratio is known, and says when it is not to be believed."""

import itertools
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from kit.benchmark import timing
from kit.benchmark.timing import Timings, measure, median_ratio, shares, timed, together


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else runs, and no time needs to pass."""
    monkeypatch.setattr(timing, "others_seconds", lambda: 0.0)
    monkeypatch.setattr(timing, "LEAST_SECONDS", 0.0)


def ways(*seconds: Iterator[float]) -> list[Callable[[], float]]:
    return [lambda source=source: next(source) for source in seconds]


@pytest.mark.parametrize("n", [6, 9, 10, 25, 100])
def test_the_interval_holds_the_true_median_95_times_of_100(n: int) -> None:
    rng = random.Random(n)
    held = 0
    for _ in range(2000):
        found = median_ratio([rng.lognormvariate(0, 1) for _ in range(n)])
        assert found.low <= found.value <= found.high
        held += found.low <= 1 <= found.high
    assert 0.94 < held / 2000 < 0.995


def test_few_ratios_give_their_range_and_more_a_narrower_one() -> None:
    found = median_ratio([3.0, 1.0, 2.0, 9.0, 4.0])
    assert (found.value, found.low, found.high) == (3.0, 1.0, 9.0)
    assert found.document("static_ratio") == {"static_ratio": 3.0, "static_ratio_low": 1.0, "static_ratio_high": 9.0}
    rng = random.Random(0)
    ratios = [rng.gauss(2, 0.1) for _ in range(100)]
    assert median_ratio(ratios).noise < statistics.stdev(ratios)


def test_by_the_processors_clock_waiting_takes_no_time() -> None:
    waiting = lambda: time.sleep(0.2)  # noqa: E731
    assert timed(waiting, clock="processor")() < 0.1 < 0.2 <= timed(waiting)()


@pytest.mark.usefixtures("quiet")
class TestRounds:
    def test_a_steady_ratio_is_known_soon_and_believed(self) -> None:
        drift = itertools.accumulate(itertools.repeat(0.1), initial=1.0)  # both get slower together
        firsts, seconds = itertools.tee(drift)
        found = measure(ways((2 * each for each in firsts), seconds), repeats=1, seconds=60, warm=False)
        assert len(found.rounds) == timing.FEWEST
        said = found.document()
        assert said["quiet"] and said["doubts"] == "" and said["noise"] == pytest.approx(0)
        assert found.ratio(0, 1).value == pytest.approx(2)

    def test_a_loose_ratio_is_measured_longer_and_doubted(self) -> None:
        rng = random.Random(0)
        noise = iter(lambda: rng.lognormvariate(0, 1), None)
        found = measure(ways(noise, itertools.repeat(1.0)), repeats=1, seconds=60)
        said = found.document()
        assert said["repeats"] == timing.MOST and not said["quiet"]
        assert said["noise"] > timing.NARROW and "wide after 100 rounds" in said["doubts"]

    def test_every_ratio_that_is_compared_must_be_narrow(self) -> None:
        steady = [itertools.repeat(1.0), itertools.repeat(2.0)]
        loose = itertools.cycle([1.0, 3.0])
        assert len(measure(ways(*steady, loose), repeats=1, seconds=60).rounds) == timing.FEWEST
        found = measure(ways(*steady, loose), repeats=1, seconds=60, compared=((0, 1), (0, 2)))
        assert len(found.rounds) == timing.MOST

    def test_no_round_begins_that_would_end_too_late(self) -> None:
        found = measure([lambda: time.sleep(0.05) or 0.05] * 2, repeats=5, seconds=0.25, warm=False)
        assert len(found.rounds) in (1, 2)
        assert "too few" in found.document()["doubts"]

    def test_at_least_the_repeats_asked_for_and_every_other_round_backwards(self) -> None:
        order: list[int] = []
        measure([lambda: order.append(0) or 1.0, lambda: order.append(1) or 1.0], repeats=4, seconds=60, warm=False)
        assert order == [0, 1, 1, 0, 0, 1, 1, 0]


def test_other_work_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            found = measure(ways(itertools.repeat(1.0), itertools.repeat(1.0)), repeats=3, seconds=60)
        finally:
            other.kill()
    assert found.other_cores > 0.2
    said = Timings(found.rounds, found.compared, other_cores=1000.0).document()
    assert not said["quiet"] and "other processes kept 1000.0 of" in said["doubts"]


def test_several_measurements_are_as_good_as_their_worst() -> None:
    good = Timings([[2.0, 1.0]] * 5, ((0, 1),), 0.0).document()
    poor = Timings([[2.0, 1.0]] * 2, ((0, 1),), 0.0).document()
    assert together({"a": good, "b": good})["quiet"]
    both = together({"a": good, "b": poor})
    assert not both["quiet"] and both["repeats"] == 2 and both["doubts"].startswith("b: ")


def test_what_one_measurement_leaves_is_for_those_after_it() -> None:
    first, second, third = shares(30.0, 3)
    assert first == pytest.approx(10, abs=1) and second == pytest.approx(15, abs=1) and third == pytest.approx(30, abs=1)
