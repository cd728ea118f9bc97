"""Training a recipe's phases, each once: a phase that is already there under its key is reused."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.errors import InputError, InUseError, StorageError
from kit.evaluation import Evaluator, held_out
from kit.events import Event, Note, PhaseFinished, PhaseReused, PhaseStarted, StepDone, Validated
from kit.files import content_key, exclusive_lock, read_json, sha256_of_file, write_json
from kit.methods import Phase, load_objective, make_sampler
from kit.methods.foreign import source_file
from kit.pipeline.request import ResolvedRun
from kit.pipeline.run_log import told
from kit.plan import START, PhasePlan, watched_architectures
from kit.randomness import derive_seed
from kit.run_dir import phases_folder
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.weights import load_weights, save_weights
from kit.training.checkpoint import CheckpointStore
from kit.training.objective import Objective, checked
from kit.training.optimization import scaled_learning_rate
from kit.training.trainer import Hardware, PhaseSettings, StepRunner, train_phase

HELD_OUT = "held-out.json"
MANIFEST = "phase.json"
"""Written last: a phase that has it is done."""
LOOK_AGAIN = 0.5
"""Seconds between two looks at a lock that another process holds."""


@dataclass(frozen=True)
class Weights:
    """Weights of the full supernet's shape on disk, with the hash they must have. No path: freshly initialised."""

    path: Path | None
    sha256: str | None
    together: bool = False
    """Whether the file holds the sub-supernets of all cells."""


class PhaseRunner:
    """Trains the phases of one resolved run, in order, under `RUNS/phases`."""

    def __init__(self, resolved: ResolvedRun, hardware: Hardware, should_stop: Callable[[], bool], run: str = "") -> None:
        self.resolved = resolved
        self.run_id = run
        self.hardware = hardware
        self.group = hardware.group
        self.should_stop = should_stop
        batch_size = resolved.profile.training.batch_size
        if batch_size % self.group.size:
            raise InputError(
                f"a batch of {batch_size} images cannot be split among {self.group.size} processes evenly",
                hint="choose another number of processes, or --set profile.training.batch_size=N",
            )
        self.plan = resolved.plan
        self.notes: list[str] = []
        """What was unwrapped from the weights that the user gave."""
        self.weights = {START: Weights(resolved.request.weights, resolved.weights_sha256)}
        """By the phase that made them; what a phase needs stands in the plan."""

    def run(self) -> Iterator[Event]:
        """Train or reuse every phase; ends early, with everything saved, when a stop is asked for."""
        for planned in self.plan.phases:
            yield from self._run_phase(planned)
            if self.group.any(self.should_stop()):
                return

    def final_supernet(self) -> ElasticResNet | FewShotSupernet:
        """The supernet after all phases: one network, or one per cell."""
        first = self.weights[self.plan.members[0]]
        if first.together:
            return self.few_shot(first)
        members = [self.network(self.weights[name]) for name in self.plan.members]
        return FewShotSupernet(members, self.plan.cells) if self.plan.cells else members[0]

    def _run_phase(self, planned: PhasePlan) -> Iterator[Event]:
        phase = planned.phase
        identity = self.plan.identity(planned, {name: weights.sha256 for name, weights in self.weights.items()})
        key = content_key(identity)
        folder = phases_folder(self.resolved.request.runs) / key
        manifest = folder / MANIFEST
        with ExitStack() as stack:
            yield from self._wait_for(folder / ".lock", f"phase {phase.name} ({key[:12]})", stack)
            if self.group.any(self.should_stop()):
                return
            if self.group.is_first and self.resolved.request.fresh:
                manifest.unlink(missing_ok=True)
                CheckpointStore(folder).clear()
            if self.group.share(manifest.exists()):
                yield PhaseReused(phase=phase.name, key=key, steps=planned.steps, paths_per_step=phase.paths_per_step)
                yield from self._known(planned, folder)
            else:
                yield from self._train(planned, identity, folder)
                if not self.group.share(manifest.exists()):
                    return
        sha256 = read_json(manifest, sha256=str)["sha256"]
        self.weights[phase.name] = Weights(folder / "weights.safetensors", sha256, phase.together)

    def _wait_for(self, lock: Path, holder: str, stack: ExitStack) -> Iterator[Event]:
        """Take the lock of a phase, however long another run works on it; what that run leaves is used or continued.

        Ends without the lock when a stop is asked for. All processes of the group wait by asking each other again and
        again: none of them is silent for long.
        """
        told = False
        while True:
            note = ""
            if self.group.is_first:
                try:
                    stack.enter_context(exclusive_lock(lock, holder=holder, user=f"run {self.run_id}"))
                except InUseError as error:
                    note = f"waiting: {error}"
            note = self.group.share(note)
            if not note or self.group.any(self.should_stop()):
                return
            if not told:
                yield Note(message=note)
                told = True
            time.sleep(LOOK_AGAIN)

    def _train(self, planned: PhasePlan, identity: dict[str, Any], folder: Path) -> Iterator[Event]:
        phase = planned.phase
        known = len(self.notes)
        runner = self._step_runner(planned)
        yield from told(self.notes[known:])
        store = CheckpointStore(folder)
        first_step = store.steps_done()
        yield PhaseStarted(
            phase=phase.name,
            key=folder.name,
            method=phase.method,
            epochs=phase.epochs,
            steps=planned.steps,
            paths_per_step=phase.paths_per_step,
            first_step=first_step,
            subspace=planned.space.describe(),
        )
        steps_done = first_step
        last_epoch: list[float] = []
        events = train_phase(
            self._settings(planned),
            runner,
            make_sampler(phase, self.plan.scope(planned)),
            store,
            checkpoint_seconds=self.resolved.profile.runtime.checkpoint_seconds,
            should_stop=self.should_stop,
        )
        for event in events:
            if isinstance(event, StepDone):
                steps_done = event.step + 1
                if event.epoch == phase.epochs - 1:
                    last_epoch.append(sum(event.losses) / len(event.losses))
            yield event
        if steps_done < planned.steps:
            return
        loss = sum(last_epoch) / len(last_epoch)
        if self.group.is_first:
            weights = folder / "weights.safetensors"
            save_weights(runner.network, weights)
            self._watch(planned, runner.network, folder)
            content = {"key": folder.name, "identity": identity, "steps": planned.steps, "loss": loss}
            write_json(folder / MANIFEST, {**content, "sha256": sha256_of_file(weights)})
            store.clear()
        yield PhaseFinished(phase=phase.name, key=folder.name, steps=planned.steps, loss=loss)
        yield from self._known(planned, folder)

    def _watch(self, planned: PhasePlan, network: nn.Module, folder: Path) -> None:
        """Keep beside a phase's weights how some of its sub-networks do on held-out images."""
        profile, limit = self.resolved.profile, self.resolved.profile.runtime.held_out_images
        if not limit:
            return
        assert isinstance(network, ElasticResNet | FewShotSupernet)
        data, device, seed = self.resolved.data, self.hardware.device, self.resolved.request.seed
        images = Evaluator(supernet=network, data=data, profile=profile, device=device, seed=seed).images
        found = {}
        for what, architecture in watched_architectures(planned.space).items():
            if isinstance(network, FewShotSupernet) and not any(cell.owns(architecture) for cell in network.cells):
                continue
            score = held_out(network, architecture, images, limit)
            if math.isfinite(score.loss):
                found[what] = {"code": architecture.code, "accuracy": score.accuracy, "loss": score.loss}
        write_json(folder / HELD_OUT, {"images": min(limit, data.val_size), "found": found})

    def _known(self, planned: PhasePlan, folder: Path) -> Iterator[Validated]:
        """What was measured when the phase was done; nothing of phases that older kits trained."""
        if not self.group.is_first or not (folder / HELD_OUT).exists():
            return
        found = read_json(folder / HELD_OUT, found=dict)["found"]
        for what, score in found.items():
            yield Validated(phase=planned.name, step=planned.steps, what=what, **score)

    def _step_runner(self, planned: PhasePlan) -> StepRunner:
        parent = self.weights[planned.parent]
        network = (self.few_shot(parent) if planned.phase.together else self.network(parent)).to(self.hardware.device)
        if self.hardware.channels_last:
            network = network.to(memory_format=torch.channels_last)
        teacher = None if planned.teacher is None else self.network(self.weights[planned.teacher])
        return StepRunner(
            network=network,
            data=self.resolved.data,
            hardware=self.hardware,
            teacher=None if teacher is None else teacher.to(self.hardware.device).eval(),
            shared=self.resolved.profile.training.step == "shared",
            objective=self._objective(planned.phase),
        )

    def _objective(self, phase: Phase) -> type[Objective]:
        objective: type[Objective] = load_objective(phase)
        return objective if phase.module is None else checked(objective, str(source_file(phase.module)))

    def _settings(self, planned: PhasePlan) -> PhaseSettings:
        """The numbers of a phase at this profile's scale."""
        phase, training = planned.phase, self.resolved.profile.training
        factor = training.pretrain_learning_rate_factor if phase.pretrains else training.learning_rate_factor
        return PhaseSettings(
            batch_size=training.batch_size,
            learning_rate=scaled_learning_rate(phase.learning_rate, training.batch_size, factor),
            optimizer=self.resolved.recipe.optimizer,
            first_epoch=planned.first_epoch,
        )

    def network(self, weights: Weights) -> ElasticResNet:
        """A supernet with these weights, or freshly initialised from the run's seed."""
        generator = torch.Generator().manual_seed(derive_seed(self.resolved.request.seed, "initial weights"))
        network = ElasticResNet(
            self.resolved.profile.search_space,
            self.resolved.data.num_classes,
            generator=generator,
            zero_init_last=self.resolved.profile.network.zero_init_last,
        )
        self._fill(network, weights)
        return network

    def few_shot(self, weights: Weights) -> FewShotSupernet:
        """The sub-supernets of all cells: those with these weights, or copies of the one supernet with these."""
        single = self.network(Weights(None, None) if weights.together else weights)
        supernet = FewShotSupernet.from_supernet(single, self.plan.cells)
        if weights.together:
            self._fill(supernet, weights)
        return supernet

    def _fill(self, network: nn.Module, weights: Weights) -> None:
        if weights.path is None:
            return
        if not weights.path.exists():
            raise StorageError(f"{weights.path} is gone", hint="run again with --fresh to train the phase anew")
        load_weights(network, weights.path, sha256=weights.sha256, note=self._note)

    def _note(self, message: str) -> None:
        # Several phases, and each one's teacher, may begin with the same file.
        if message not in self.notes:
            self.notes.append(message)
