"""`kit run alone`: one architecture trained by itself, from scratch and from a supernet's weights; its networks are kept."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timm.models.resnet import ResNet

from kit import __version__
from kit.costs import costs
from kit.data import Data, absolute_spec
from kit.errors import InputError
from kit.evaluation import Evaluator, calibrated_subnet
from kit.events import CheckpointSaved, Event, PhaseFinished, PhaseReused, PhaseStarted, StepDone, TrainingDone, Validated
from kit.files import read_json, sha256_of_file, write_json
from kit.pipeline.compute import describe_compute
from kit.pipeline.evaluate import Evaluation, EvaluationRequest
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.request import Progress, open_profile_data
from kit.pipeline.run_log import record, told
from kit.pipeline.scored_run import require_finished
from kit.pipeline.signals import StopFlag
from kit.recipe import Profile
from kit.records import appending
from kit.run_dir import RunDirectory, claim_named, find_run, write_environment
from kit.strict import KEY_FORMAT, key_of
from kit.supernet.weights import save_weights
from kit.training.checkpoint import CheckpointStore
from kit.truth import StandaloneScore, StandaloneTraining
from kit.watch.trainings import INHERITED, SCRATCH, TRAININGS, FinishedTraining, Training, read_trainings

OWN = {"weights", TRAININGS}


@dataclass(frozen=True, kw_only=True)
class AloneRequest:
    """What is trained, how often, and where its weights come from."""

    code: str
    out: Path
    profile: Profile | None = None
    """None: that of the run whose weights it inherits."""
    runs: Path = Path("runs")
    inherit: str | None = None
    epochs: int | None = None
    seeds: int = 1
    data: str | None = None
    fresh: bool = False


class AloneRun:
    """The trainings of one architecture, in a directory of their own. Finished ones are kept, one at work saves itself."""

    def __init__(self, request: AloneRequest, stop: StopFlag, progress: Progress | None = None) -> None:
        self.request = request
        self.stop = stop
        self.inherited: dict[str, Any] | None = None
        self._evaluator: Evaluator | None = None
        profile = request.profile
        if request.inherit is not None:
            profile = self._open_supernet(request.inherit, profile, progress)
        assert profile is not None
        if request.epochs is not None:
            truth = profile.truth.model_copy(update={"epochs": request.epochs})
            profile = profile.model_copy(update={"truth": truth})
        self.profile = profile
        self.architecture = profile.search_space.parse(request.code)
        self.data = self._open_data(progress)
        self.directory = RunDirectory(request.out.resolve())
        starts = [SCRATCH] if self.inherited is None else [INHERITED, SCRATCH]
        self.trainings = [Training(start=start, seed=seed) for start in starts for seed in range(request.seeds)]
        self.settings: dict[str, Any] = {
            "kind": "alone",
            "format": KEY_FORMAT,
            "code": self.architecture.code,
            "profile": profile.model_dump(mode="json", exclude={"runtime", "data"}),
            "data_fingerprint": self.data.fingerprint,
            "inherited": None if self.inherited is None else self.inherited["weights_sha256"],
        }
        self.key = key_of(**self.settings)

    def _open_supernet(self, run: str, profile: Profile | None, progress: Progress | None) -> Profile:
        """Keep the supernet and images of a finished run. Raises `InputError` where a profile that is named does not fit."""
        of = find_run(run, self.request.runs)
        require_finished(of)
        request = EvaluationRequest(target=str(of.path), runs=self.request.runs, data=self.request.data)
        evaluator = Evaluation(request, progress=progress).job.evaluator
        own = evaluator.profile
        if profile is not None and (profile.scale.space.channels, profile.resolution) != (
            own.scale.space.channels,
            own.resolution,
        ):
            raise InputError(
                f"run {of.id} is of profile {own.name}: its weights do not fit profile {profile.name}",
                hint="leave --profile out: the run brings its own",
            )
        self._evaluator = evaluator
        self.inherited = {"run": of.id, "path": str(of.path), "weights_sha256": evaluator.weights_sha256}
        return profile or own

    def _open_data(self, progress: Progress | None) -> Data:
        if self._evaluator is not None and self.request.profile is None:
            return self._evaluator.data
        return open_profile_data(self.profile, self.request.data, progress)

    def execute(self) -> Iterator[Event]:
        """Do every training that is not done. Raises `StopRequestedError` on a signal, with everything saved."""
        run = self.directory
        self._claim()
        with run.locked():
            yield from record(
                run,
                self._work(),
                self.stop.check,
                kind="alone",
                profile=self.profile.name,
                passes=self._steps * len(self.trainings),
                phases=(training.phase for training in self.trainings),
                fresh=self.request.fresh,
            )

    @property
    def _steps(self) -> int:
        settings = self.profile.truth
        return max(1, self.data.train_size // settings.batch_size) * settings.epochs

    def _claim(self) -> None:
        run = self.directory
        if not claim_named(run, self.settings, "training", OWN, fresh=self.request.fresh):
            return
        write_environment(run.environment, describe_compute())
        inherited = {} if self.inherited is None else {"run": self.inherited["path"]}
        inputs = {"data": absolute_spec(self._spec()), **inherited}
        write_json(run.resolved, {**self.settings, "seed": 0, "kit": __version__, "inputs": inputs})

    def _spec(self) -> str:
        """Where the images lie that are trained on."""
        if self.request.data is None and self.request.profile is None and self.inherited is not None:
            known = RunDirectory(Path(self.inherited["path"])).resolved
            return str(read_json(known, inputs=dict)["inputs"]["data"])
        return self.request.data or self.profile.data

    def _work(self) -> Iterator[Event]:
        run = self.directory
        yield from told(self.data.notes)
        records = run.path / TRAININGS
        if self.request.fresh:
            records.unlink(missing_ok=True)
        kept = self._kept()
        for training in self.trainings:
            if training in kept:
                yield PhaseReused(phase=training.phase, key=self.key, steps=self._steps)
                continue
            yield from self._train(training)
            self.stop.check()

    def _train(self, training: Training) -> Iterator[Event]:
        phase, code, store = training.phase, self.architecture.code, CheckpointStore(self.directory.path / training.phase)
        work = StandaloneTraining(
            self.architecture,
            self.profile,
            self.data,
            [training.seed],
            networks=None if training.start == SCRATCH else [self._inherit()],
            device=choose_hardware(self.profile).device,
        )
        if self.request.fresh:
            store.clear()
        work.step, curve = _restored(store, work)
        yield PhaseStarted(
            phase=phase, key=self.key, method="alone", epochs=self.profile.truth.epochs, steps=work.steps,
            first_step=work.step, subspace=f"{code} from {training.start}",
        )  # fmt: skip
        if training.start == INHERITED and not work.step:
            [first] = work.score()
            curve[0] = first.accuracy
            yield Validated(phase=phase, step=0, what="alone", code=code, accuracy=first.accuracy, loss=first.loss)
        started = saved = time.monotonic()
        for step in work.run():
            now = time.monotonic()
            yield StepDone(
                phase=phase, step=work.step - 1, epoch=(work.step - 1) // work.steps_per_epoch,
                learning_rate=step.learning_rate, seconds=now - started, data_seconds=0.0, losses=step.losses,
                codes=(code,),
            )  # fmt: skip
            if work.step % work.steps_per_epoch == 0:
                [score] = work.score()
                curve[work.step // work.steps_per_epoch] = score.accuracy
                yield Validated(
                    phase=phase, step=work.step, what="alone", code=code, accuracy=score.accuracy, loss=score.loss
                )
            stopping = self.stop()
            if work.step < work.steps and (stopping or now - saved >= self.profile.runtime.checkpoint_seconds):
                store.save(work.step, work.network, work.optimizer, {"curve": list(curve.items())})
                yield CheckpointSaved(phase=phase, step=work.step)
                saved = now
            if stopping and work.step < work.steps:
                self.stop.check()
            started = time.monotonic()
        yield from self._keep(training, work, score, curve)
        store.clear()

    def _keep(
        self, training: Training, work: StandaloneTraining, score: StandaloneScore, curve: dict[int, float]
    ) -> Iterator[Event]:
        """Write the network, then the line that says it is done; `score` is that of the last epoch."""
        network = work.network.network
        assert isinstance(network, ResNet)
        file = f"weights/{training.phase}.safetensors"
        about = {
            "code": self.architecture.code,
            "space": self.profile.search_space.to_json(),
            "seed": training.seed,
            "start": training.start,
            "correct": round(score.accuracy * self.data.val_size),
            "images": self.data.val_size,
            "kit": __version__,
        }
        save_weights(network.cpu().eval(), self.directory.path / file, extra={"subnet": about})
        entry = FinishedTraining(
            start=training.start,
            seed=training.seed,
            accuracy=score.accuracy,
            loss=score.loss,
            weights=file,
            sha256=sha256_of_file(self.directory.path / file),
            curve=tuple(sorted(curve.items())),
        )
        with appending(self.directory.path / TRAININGS) as writer:
            writer.append(asdict(entry), durable=True)
        yield TrainingDone(
            phase=training.phase, step=work.step - 1, code=self.architecture.code, seed=training.seed,
            accuracy=score.accuracy, loss=score.loss, seconds=0.0,
        )  # fmt: skip
        yield PhaseFinished(phase=training.phase, key=self.key, steps=work.steps, loss=score.loss)

    def _kept(self) -> dict[Training, FinishedTraining]:
        return {entry.training: entry for entry in kept_trainings(self.directory)}

    def _inherit(self) -> ResNet:
        """The supernet's sub-network, calibrated."""
        assert self._evaluator is not None
        return calibrated_subnet(self._evaluator.network, self.architecture, self._evaluator.images)

    def result(self) -> dict[str, Any]:
        """The document of `kit run alone --json`."""
        first, kept = self.trainings[0].start, self._kept()
        rows = {
            start: [self._row(kept[training]) for training in self.trainings if training.start == start]
            for start in (SCRATCH, INHERITED)
        }
        cost = costs(self.architecture, self.profile.scale)
        document: dict[str, Any] = {
            "code": self.architecture.code,
            "profile": self.profile.name,
            "epochs": self.profile.truth.epochs,
            "macs": cost.macs,
            "params": cost.params,
            "inherited": None if self.inherited is None else self.inherited["run"],
            "seeds": rows[first],
            "path": str(self.directory.path),
        }
        return document if first == SCRATCH else document | {"from_scratch": rows[SCRATCH]}

    def _row(self, entry: FinishedTraining) -> dict[str, Any]:
        return {
            "seed": entry.seed,
            "accuracy": entry.accuracy,
            "loss": entry.loss,
            "weights": str(self.directory.path / entry.weights),
            "curve": entry.curve,
        }


def kept_trainings(run: RunDirectory) -> list[FinishedTraining]:
    """The finished trainings whose network is the one that was written, inherited ones first, then by seed."""

    def is_whole(entry: FinishedTraining) -> bool:
        file = run.path / entry.weights
        return file.is_file() and sha256_of_file(file) == entry.sha256

    return list(filter(is_whole, read_trainings(run)))


def _restored(store: CheckpointStore, work: StandaloneTraining) -> tuple[int, dict[int, float]]:
    """Steps of the newest checkpoint, whose state is put in place, and the accuracies after each epoch so far."""
    step, state = store.load(work.network, work.optimizer)
    return step, {int(epoch): float(accuracy) for epoch, accuracy in state.get("curve", [])}
