"""Training a recipe's phases, each once: a phase that is already there under its key is reused."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.errors import InputError, StorageError
from kit.events import Event, PhaseFinished, PhaseReused, PhaseStarted, StepDone
from kit.files import content_key, exclusive_lock, read_json, sha256_of_file, write_json
from kit.methods import Phase, Sampler, Scope, load_objective, make_sampler
from kit.pipeline.request import ResolvedRun
from kit.randomness import derive_seed
from kit.run_dir import phases_folder
from kit.search_space import SearchSpace
from kit.strict import identity_of
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.weights import load_weights, save_weights
from kit.training.checkpoint import CheckpointStore
from kit.training.optimization import scaled_learning_rate
from kit.training.trainer import Hardware, PhaseSettings, StepRunner, train_phase


@dataclass(frozen=True)
class Weights:
    """Weights of the full supernet's shape on disk, with the hash they must have. No path: freshly initialised."""

    path: Path | None
    sha256: str | None


class PhaseRunner:
    """Trains the phases of one resolved run, in order, under `RUNS/phases`."""

    def __init__(self, resolved: ResolvedRun, hardware: Hardware, should_stop: Callable[[], bool]) -> None:
        self.resolved = resolved
        self.hardware = hardware
        self.group = hardware.group
        self.should_stop = should_stop
        batch_size = resolved.profile.training.batch_size
        if batch_size % self.group.size:
            raise InputError(
                f"a batch of {batch_size} images cannot be split among {self.group.size} processes evenly",
                hint="choose another number of processes, or --set profile.training.batch_size=N",
            )
        self.space = resolved.profile.search_space
        partition = resolved.recipe.partition
        self.cells = partition.subspaces(self.space) if partition else ()
        self.current = Weights(resolved.request.weights, resolved.weights_sha256)
        self.teacher: Weights | None = self.current if resolved.request.weights is not None else None
        self.members: dict[int, Weights] = {}
        self.first_epoch = 0

    def run(self) -> Iterator[Event]:
        """Train or reuse every phase; ends early, with everything saved, when a stop is asked for."""
        for phase in self.resolved.phases:
            yield from self._run_phase(phase)
            if self.group.any(self.should_stop()):
                return

    def final_supernet(self) -> ElasticResNet | FewShotSupernet:
        """The supernet after all phases: one network, or one per cell (untrained cells keep the shared weights)."""
        if not self.cells:
            return self.network(self.current)
        return FewShotSupernet(
            [self.network(self.members.get(cell, self.current)) for cell in range(len(self.cells))], self.cells
        )

    def _run_phase(self, phase: Phase) -> Iterator[Event]:
        settings = self.settings(phase)
        key = content_key(self._identity(phase, settings))
        folder = phases_folder(self.resolved.request.runs) / key
        manifest = folder / "phase.json"
        with self._locked(folder, phase, key):
            if self.group.is_first and self.resolved.request.fresh:
                manifest.unlink(missing_ok=True)
                CheckpointStore(folder).clear()
            if self.group.share(manifest.exists()):
                yield PhaseReused(phase=phase.name, key=key, steps=settings.steps, paths_per_step=phase.paths_per_step)
            else:
                yield from self._train(phase, settings, key, folder)
                if not self.group.share(manifest.exists()):
                    return
        weights = Weights(folder / "weights.safetensors", read_json(manifest, sha256=str)["sha256"])
        if phase.cell is not None:
            self.members[phase.cell] = weights
            return
        self.current = weights
        self.first_epoch += phase.epochs
        if phase.pretrains:
            self.teacher = weights

    @contextmanager
    def _locked(self, folder: Path, phase: Phase, key: str) -> Iterator[None]:
        """Be the one process group that trains this phase."""
        with ExitStack() as stack:
            if self.group.is_first:
                stack.enter_context(exclusive_lock(folder / ".lock", holder=f"phase {phase.name} ({key[:12]})"))
            yield

    def _train(self, phase: Phase, settings: PhaseSettings, key: str, folder: Path) -> Iterator[Event]:
        network = self.network(self.current).to(self.hardware.device)
        if self.hardware.channels_last:
            network = network.to(memory_format=torch.channels_last)
        runner = StepRunner(
            network=network,
            data=self.resolved.data,
            hardware=self.hardware,
            teacher=self._teacher(phase),
            shared=self.resolved.profile.training.step == "shared",
            objective=load_objective(phase),
        )
        store = CheckpointStore(folder)
        first_step = store.steps_done()
        yield PhaseStarted(
            phase=phase.name,
            key=key,
            method=phase.method,
            epochs=settings.epochs,
            steps=settings.steps,
            paths_per_step=phase.paths_per_step,
            first_step=first_step,
            subspace=self.subspace(phase).describe(),
        )
        steps_done = first_step
        last_epoch: list[float] = []
        events = train_phase(
            settings,
            runner,
            self.sampler(phase, settings),
            store,
            checkpoint_seconds=self.resolved.profile.runtime.checkpoint_seconds,
            should_stop=self.should_stop,
        )
        for event in events:
            if isinstance(event, StepDone):
                steps_done = event.step + 1
                if event.epoch == settings.epochs - 1:
                    last_epoch.append(sum(event.losses) / len(event.losses))
            yield event
        if steps_done < settings.steps:
            return
        loss = sum(last_epoch) / len(last_epoch)
        if self.group.is_first:
            self._finish(phase, settings, key, folder, network, loss)
        yield PhaseFinished(phase=phase.name, key=key, steps=settings.steps, loss=loss)

    def _finish(
        self, phase: Phase, settings: PhaseSettings, key: str, folder: Path, network: ElasticResNet, loss: float
    ) -> None:
        weights = folder / "weights.safetensors"
        save_weights(network, weights)
        content = {
            "key": key,
            "identity": self._identity(phase, settings),
            "steps": settings.steps,
            "loss": loss,
            "sha256": sha256_of_file(weights),
        }
        write_json(folder / "phase.json", content)
        CheckpointStore(folder).clear()

    def settings(self, phase: Phase) -> PhaseSettings:
        """The numbers of a phase at this profile's scale."""
        training = self.resolved.profile.training
        factor = training.pretrain_learning_rate_factor if phase.pretrains else training.learning_rate_factor
        return PhaseSettings(
            name=phase.name,
            epochs=phase.epochs,
            steps_per_epoch=self.resolved.steps_per_epoch,
            batch_size=training.batch_size,
            learning_rate=scaled_learning_rate(phase.learning_rate, training.batch_size, factor),
            optimizer=self.resolved.recipe.optimizer,
            seed=self.resolved.request.seed,
            first_epoch=self.first_epoch,
        )

    def _identity(self, phase: Phase, settings: PhaseSettings) -> dict[str, Any]:
        """Everything the phase's weights depend on; its hash is the phase's key."""
        resolved, profile = self.resolved, self.resolved.profile
        return identity_of(
            phase=phase,
            optimizer=resolved.recipe.optimizer,
            network=profile.network,
            training=profile.training,
            images=profile.images,
            resolution=profile.resolution,
            data=resolved.data.fingerprint,
            seed=settings.seed,
            first_epoch=settings.first_epoch,
            parent=self.current.sha256,
            # Each process normalises by its own part of the batch, so the weights depend on how many there are.
            processes=None if self.group.size == 1 else self.group.size,
            pool=resolved.pool.fingerprint if phase.uses_pool else None,
            cell=None if phase.cell is None else self.cells[phase.cell].to_json(),
            teacher=self.teacher.sha256 if phase.needs_teacher and self.teacher else None,
        )

    def sampler(self, phase: Phase, settings: PhaseSettings) -> Sampler[Phase]:
        """What draws the paths of a phase. Raises `InputError` when there is too little to draw from."""
        space = self.subspace(phase)
        pool = self.resolved.pool.architectures if phase.uses_pool else ()
        found = tuple(architecture for architecture in pool if architecture in space)
        scope = Scope(space=space, seed=settings.seed, steps_per_epoch=settings.steps_per_epoch, pool=found)
        return make_sampler(phase, scope)

    def subspace(self, phase: Phase) -> SearchSpace:
        """The architectures a phase draws from."""
        return phase.subspace(self.space if phase.cell is None else self.cells[phase.cell])

    def network(self, weights: Weights) -> ElasticResNet:
        """A supernet with these weights, or freshly initialised from the run's seed."""
        generator = torch.Generator().manual_seed(derive_seed(self.resolved.request.seed, "initial weights"))
        network = ElasticResNet(
            self.space,
            self.resolved.data.num_classes,
            generator=generator,
            zero_init_last=self.resolved.profile.network.zero_init_last,
        )
        if weights.path is not None:
            if not weights.path.exists():
                raise StorageError(f"{weights.path} is gone", hint="run again with --fresh to train the phase anew")
            load_weights(network, weights.path, sha256=weights.sha256)
        return network

    def _teacher(self, phase: Phase) -> nn.Module | None:
        if not phase.needs_teacher:
            return None
        assert self.teacher is not None
        teacher: nn.Module = self.network(self.teacher).to(self.hardware.device).eval()
        return teacher
