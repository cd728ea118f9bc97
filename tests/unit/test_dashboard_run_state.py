"""Curves in bounded memory, and what events add up to: against simple models of both."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.events import (
    CandidateReplaced,
    EvaluationFinished,
    EvaluationStarted,
    Event,
    PhaseFinished,
    PhaseReused,
    PhaseStarted,
    RankSoFar,
    RunFinished,
    RunStarted,
    RunStopped,
    StepDone,
    SubnetEvaluated,
    UnknownEvent,
)
from kit.rank_report import Interval
from kit.watch.run_curves import joined, phase_curves
from kit.watch.run_fold import RunFold
from kit.watch.run_state import RunState
from kit.watch.series import Series

finite = st.floats(-1e6, 1e6)


def started(*phases: str, time: float = 100.0, continued: bool = False, passes: int = 40) -> RunStarted:
    return RunStarted(
        time=time, run="r", recipe="small", profile="tiny", seed=3, pid=7, phases=phases, passes=passes, continued=continued
    )


def phase(
    name: str, *, steps: int = 10, paths: int = 2, first: int = 0, method: str = "uniform", time: float = 101.0
) -> Event:
    return PhaseStarted(
        time=time,
        phase=name,
        key="k" * 64,
        method=method,
        epochs=2,
        steps=steps,
        paths_per_step=paths,
        first_step=first,
        subspace="depths 2-5 2-5 2-8 2-5 (448 combinations), width digits up to 3 3 5 7",
    )


def step(
    name: str, number: int, *, losses: tuple[float, ...] = (1.0, 3.0), time: float = 102.0, seconds: float = 0.5
) -> Event:
    codes = tuple(f"code{index}" for index in range(len(losses)))
    return StepDone(
        time=time,
        phase=name,
        step=number,
        epoch=number // 5,
        learning_rate=0.1,
        seconds=seconds,
        data_seconds=seconds / 10,
        losses=losses,
        codes=codes,
    )


def fold(*events: Event) -> RunState:
    folded = RunFold()
    for event in events:
        folded.fold(event)
    return folded.state()


class TestSeries:
    @given(st.lists(finite, max_size=64))
    def test_keeps_every_point_while_there_is_room(self, values: list[float]) -> None:
        series = Series(limit=64 + 1)
        for x, y in enumerate(values):
            series.add(x, y)
        assert series.curve.x == tuple(range(len(values)))
        assert series.curve.y == tuple(values)

    @given(st.integers(1, 5000), st.integers(2, 64))
    def test_never_grows_beyond_its_limit_and_keeps_the_mean(self, count: int, half: int) -> None:
        series = Series(limit=2 * half)
        rng = random.Random(count)
        values = [rng.uniform(0, 1) for _ in range(count)]
        for x, y in enumerate(values):
            series.add(x, y)
        curve = series.curve
        assert len(curve) <= 2 * half
        # The first point lies in the middle of what it stands for; all stand for as many values, the last for the rest.
        group = round(2 * curve.x[0] + 1)
        groups = [values[start : start + group] for start in range(0, count, group)]
        assert len(curve) == len(groups)
        assert curve.y == pytest.approx([math.fsum(part) / len(part) for part in groups])
        assert len(curve) >= half or group == 1

    @given(st.integers(1, 300), st.integers(0, 299))
    def test_a_run_that_goes_back_draws_over_what_it_repeats(self, count: int, back: int) -> None:
        series = Series(limit=1000)
        for x in range(count):
            series.add(x, 0.0)
        back = min(back, count - 1)
        for x in range(back, count):
            series.add(x, 1.0)
        assert series.curve.x == tuple(range(count))
        assert series.curve.y == (0.0,) * back + (1.0,) * (count - back)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_leaves_no_point(self, value: float) -> None:
        series = Series()
        series.add(0, 1.0)
        series.add(1, value)
        series.add(2, 2.0)
        assert series.curve.y == (1.0, 2.0)

    def test_the_curve_is_the_same_object_until_a_point_is_added(self) -> None:
        series = Series()
        series.add(0, 1.0)
        assert series.curve is series.curve


class TestProgress:
    def test_a_run_without_events_is_queued(self) -> None:
        assert fold().outcome == "queued"
        assert fold().fraction is None

    def test_passes_of_all_phases_count(self) -> None:
        state = fold(started("A", "B"), phase("A"), *(step("A", i) for i in range(10)), phase("B"), step("B", 3))
        assert [item.status for item in state.phases] == ["running", "running"]
        assert state.passes_done == 10 * 2 + 4 * 2
        assert state.fraction == pytest.approx(28 / 40)
        assert state.loss == 2.0
        assert state.learning_rate == 0.1

    def test_a_finished_phase_is_done_however_few_steps_were_seen(self) -> None:
        done = PhaseFinished(time=103, phase="A", key="k", steps=10, loss=0.25)
        state = fold(started("A", "B"), phase("A"), step("A", 1), done)
        assert state.phases[0].status == "done"
        assert state.phases[0].loss == 0.25
        assert state.passes_done == 20

    def test_a_reused_phase_counts_as_done(self) -> None:
        state = fold(started("A"), PhaseReused(time=101, phase="A", key="k", steps=10, paths_per_step=4))
        assert state.phases[0].status == "reused"
        assert state.passes_done == 40

    def test_continuing_keeps_curves_and_goes_on_where_the_checkpoint_was(self) -> None:
        events = [
            started("A"),
            phase("A"),
            *(step("A", i) for i in range(8)),
            RunStopped(time=110, run="r", reason="x", exit_code=143),
        ]
        assert fold(*events).outcome == "stopped"
        assert fold(*events).stop_reason == "x"
        state = fold(*events, started("A", time=200, continued=True), phase("A", first=5), step("A", 5, time=201))
        assert state.outcome == "running"
        assert state.stop_reason == ""
        assert state.phases[0].step == 6
        assert state.phases[0].losses.x == (1, 2, 3, 4, 5, 6)

    @given(st.lists(st.floats(0, 4e9), min_size=1, max_size=30))
    def test_a_clock_that_jumps_makes_no_negative_times(self, times: list[float]) -> None:
        state = fold(
            started("A", time=times[0]), phase("A", time=times[0]), *(step("A", i, time=t) for i, t in enumerate(times))
        )
        assert state.elapsed >= 0
        assert state.elapsed <= sum(abs(a - b) for a, b in itertools.pairwise(times)) + 1e-6
        assert state.seconds_left is not None
        assert state.seconds_left >= 0

    def test_time_between_two_processes_is_not_work(self) -> None:
        state = fold(
            started("A", time=0), phase("A", time=1), step("A", 0, time=10), started("A", time=9000, continued=True)
        )
        assert state.elapsed == 10

    def test_time_left_falls_as_passes_are_made(self) -> None:
        early = fold(started("A"), phase("A", steps=20), *(step("A", i) for i in range(3)))
        late = fold(started("A"), phase("A", steps=20), *(step("A", i) for i in range(12)))
        assert early.seconds_left is not None and late.seconds_left is not None
        # Every pass takes .25 s and there are 40: what is left is what was not made.
        assert early.seconds_left == pytest.approx((40 - 6) * 0.25)
        assert late.seconds_left == pytest.approx((40 - 24) * 0.25)

    def test_an_ended_run_has_no_time_left(self) -> None:
        assert fold(started("A"), phase("A"), step("A", 0), RunFinished(time=110, run="r")).seconds_left is None


class TestWhatIsShown:
    def test_candidates_are_what_a_step_trained_besides_the_sampled_one(self) -> None:
        events = [started("CPT"), phase("CPT", method="candidates"), step("CPT", 0, losses=(1.0, 2.0, 3.0))]
        assert fold(*events).candidates == ("code1", "code2")
        replaced = CandidateReplaced(time=103, phase="CPT", step=0, removed="a", added="b")
        assert fold(*events, replaced).replaced == 1
        assert fold(started("A"), phase("A"), step("A", 0)).candidates == ()

    def test_scores_are_folded_into_the_evaluation(self) -> None:
        scores = [
            SubnetEvaluated(time=110, code=f"c{i}", correct=correct, images=100, done=i + 1, subnets=3, seconds=2.0)
            for i, correct in enumerate((50, 80, 60))
        ]
        begin = EvaluationStarted(time=109, subnets=3, done=0, images=100, calibration_images=10)
        running = fold(started("A"), begin, *scores[:2])
        assert running.evaluation is not None
        assert running.evaluation.best == ("c1", 0.8)
        assert running.seconds_left == pytest.approx(2.0)
        state = fold(started("A"), begin, *scores, EvaluationFinished(time=111, subnets=3, predictions="p"))
        assert state.evaluation is not None
        assert state.evaluation.finished
        assert state.evaluation.fraction == 1
        assert state.evaluation.accuracies.y == (0.5, 0.8, 0.6)

    def test_rank_so_far_until_the_rank_is_measured(self) -> None:
        figure = {"value": 0.5, "low": 0.1, "high": 0.8}
        state = fold(started("A"), RankSoFar(time=1, scored=10, n=5, pearson=figure, kendall=figure))
        assert state.rank_figures is not None
        assert (state.rank_figures.final, state.rank_figures.scored) == (False, 10)
        assert state.rank_figures.kendall == Interval(0.5, 0.1, 0.8)

    @pytest.mark.parametrize("figure", [{}, {"value": "x"}, {"value": math.nan, "low": 0, "high": 1}, {"value": 1.0}])
    def test_a_rank_without_figures_shows_none(self, figure: dict) -> None:
        state = fold(started("A"), RankSoFar(time=1, scored=10, n=5, pearson=figure, kendall=figure))
        assert state.rank_figures is not None
        assert state.rank_figures.kendall is None

    def test_events_of_another_version_are_counted(self) -> None:
        assert fold(started("A"), UnknownEvent(time=1, kind="New", content={})).unknown == 1

    def test_an_event_that_is_not_sampled_moves_the_run_but_not_the_curve(self) -> None:
        folded = RunFold()
        for event in (started("A"), phase("A"), step("A", 0)):
            folded.fold(event)
        folded.fold(step("A", 7, losses=(9.0,)), sampled=False)
        state = folded.state()
        assert state.phases[0].step == 8
        assert state.loss == 9.0
        assert state.phases[0].losses.x == (1,)

    def test_a_state_stays_as_it_was(self) -> None:
        folded = RunFold()
        for event in (started("A"), phase("A"), step("A", 0)):
            folded.fold(event)
        before = folded.state()
        copy = (before.phases[0].step, before.phases[0].losses.x, before.passes_done)
        folded.fold(step("A", 1))
        assert (before.phases[0].step, before.phases[0].losses.x, before.passes_done) == copy
        assert folded.state().phases[0].step == 2

    def test_curves_of_all_phases_follow_each_other_over_the_passes(self) -> None:
        done = PhaseFinished(time=103, phase="A", key="k", steps=10, loss=0.25)
        state = fold(
            started("A", "B"), phase("A"), *(step("A", i) for i in range(10)), done, phase("B", paths=3), step("B", 0)
        )
        curves = phase_curves(state, "loss", None)
        assert [part.name for part in curves] == ["A", "B"]
        assert joined(curves).x == (*(2 * i for i in range(1, 11)), 20 + 3)
        assert phase_curves(state, "learning rate", "B")[0].curve.x == (1,)
        assert phase_curves(state, "accuracy", None) == []
