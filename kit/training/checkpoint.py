"""Checkpoints inside a phase: everything a step depends on, written whole, hashed before it is read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from kit.errors import StorageError
from kit.files import read_json, storage_errors, write_bytes, write_json
from kit.training.optimization import GroupedSGD


@dataclass(frozen=True)
class CheckpointStore:
    """The newest checkpoint of one phase, in the phase's folder."""

    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "checkpoint.json"

    def steps_done(self) -> int:
        """Steps behind the newest checkpoint, 0 without one."""
        return int(read_json(self.manifest, step=int)["step"]) if self.manifest.exists() else 0

    def save(self, step: int, network: nn.Module, optimizer: GroupedSGD, sampler_state: dict[str, Any]) -> None:
        """Write the state after `step` steps; the one before stays until the new one is complete."""
        tensors = {f"network.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
        used = []
        for name, parameter in network.named_parameters():
            for group, state in optimizer.states.items():
                momentum = state.get(parameter, {}).get("momentum_buffer")
                if momentum is not None:
                    tensors[_momentum_name(group, name)] = momentum.contiguous()
            if parameter.grad is not None:
                used.append(name)
        file = self.folder / f"checkpoint-{step}.safetensors"
        data = save({name: tensor.cpu() for name, tensor in tensors.items()})
        write_bytes(file, data)
        content = {
            "step": step,
            "file": file.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "used": used,
            "sampler": sampler_state,
        }
        write_json(self.manifest, content)
        self._remove_files(keep=file.name)

    def load(self, network: nn.Module, optimizer: GroupedSGD) -> tuple[int, dict[str, Any]]:
        """Restore the newest checkpoint; returns (steps done, sampler state), (0, {}) without one.

        Raises `StorageError` when the file's hash is not the manifest's.
        """
        if not self.manifest.exists():
            return 0, {}
        content = read_json(self.manifest, step=int, file=str, sha256=str, used=list, sampler=dict)
        file = self.folder / content["file"]
        with storage_errors("read", file):
            data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != content["sha256"]:
            raise StorageError(f"{file} is damaged: its SHA-256 is not the one recorded", hint="run again with --fresh")
        tensors = load(data)
        network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
        used = set(content["used"])
        groups = {name.removeprefix("momentum[").partition("]")[0] for name in tensors if name.startswith("momentum[")}
        for name, parameter in network.named_parameters():
            for group in ("", *sorted(groups)):
                momentum = tensors.get(_momentum_name(group, name))
                if momentum is not None:
                    optimizer.use(group)
                    optimizer.state[parameter]["momentum_buffer"] = momentum.to(parameter.device)
            # SGD skips a parameter whose gradient is None; one that was used before must get its zero gradient back.
            parameter.grad = torch.zeros_like(parameter) if name in used else None
        return int(content["step"]), content["sampler"]

    def clear(self) -> None:
        """Remove the checkpoint: the phase is finished, or starts anew."""
        with storage_errors("remove", self.manifest):
            self.manifest.unlink(missing_ok=True)
        self._remove_files(keep=None)

    def _remove_files(self, keep: str | None) -> None:
        for path in self.folder.glob("checkpoint-*.safetensors"):
            if path.name != keep:
                with storage_errors("remove", path):
                    path.unlink(missing_ok=True)


def _momentum_name(group: str, parameter: str) -> str:
    return f"momentum[{group}].{parameter}" if group else f"momentum.{parameter}"
