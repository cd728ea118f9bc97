"""Weights of supernets in and out of files: checked before anything is touched, exact, byte-identical when written twice."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from kit.errors import InputError, StorageError, some
from kit.recipe import load_recipe
from kit.search_space import RESNET48, Architecture, SearchSpace
from kit.supernet.elastic import ElasticResNet
from kit.supernet.few_shot import FewShotSupernet
from kit.supernet.nesting import Note, silent
from kit.supernet.subnet import build_subnet
from kit.supernet.tensor_files import WeightsFile, WeightsFormat, format_of, read_weights_file, write_weights_file

__all__ = [
    "export_weights",
    "format_of",
    "load_subnet",
    "load_supernet",
    "load_weights",
    "noted_subnet",
    "save_weights",
    "sse34_cells",
]

FORMAT_VERSION = 1
DEFAULT_CLASSES = 1000
MEMBER_PREFIX = "members."
COUNTER = ".num_batches_tracked"
VARIANCE = ".running_var"
PROFILE_HINT = "choose the profile the weights were trained with (--profile), or other weights"
RESERVED = {"format", "space", "num_classes", "cells"}


def load_weights(net: nn.Module, path: Path | str, *, sha256: str | None = None, note: Note = silent) -> None:
    """Fill a supernet, few-shot supernet or timm `ResNet` from a `.pdparams`, `.pth` or `.safetensors` file.

    With `sha256` (hex) the file's bytes are compared before they are parsed; `note` hears what was unwrapped. `net` is
    untouched when this raises: `StorageError` for what cannot be read or trusted, `InputError` for another network's.
    """
    path = Path(path)
    content = read_weights_file(path, sha256=sha256, note=note)
    space = getattr(net, "space", None)
    if isinstance(space, SearchSpace):
        _check_space(path, content.metadata, space)
    _fill(net, content.tensors, path)


def load_supernet(
    path: Path | str,
    space: SearchSpace | None = None,
    num_classes: int | None = None,
    *,
    sha256: str | None = None,
    key: str | None = None,
    note: Note = silent,
) -> ElasticResNet | FewShotSupernet:
    """The supernet in a file: few-shot when the file holds members, with the cells it notes.

    Five members without noted cells are the SSE34 partition. `space` and `num_classes` default to what the file notes,
    else to the challenge's. `key` names the state dict of a checkpoint with
    several. Raises as `load_weights` does.
    """
    path = Path(path)
    content = read_weights_file(path, sha256=sha256, key=key, note=note)
    if space is None:
        space = _noted_space(path, content.metadata) or RESNET48
    _check_space(path, content.metadata, space)
    if num_classes is None:
        num_classes = content.metadata.get("num_classes", DEFAULT_CLASSES)
        if type(num_classes) is not int or num_classes < 1:
            raise StorageError(f"{path} notes {num_classes!r} classes")
    generator = torch.Generator()  # the initial weights are overwritten; the global generator stays as it is
    count = _member_count(content.tensors)
    cells = _cells(path, content.metadata, space, count) if count else ()
    members = [ElasticResNet(space, num_classes, generator=generator) for _ in range(count or 1)]
    net = FewShotSupernet(members, cells) if count else members[0]
    _fill(net, content.tensors, path)
    return net


def noted_subnet(path: Path | str) -> dict[str, Any] | None:
    """What a file says of the single network that it holds; None for a supernet's, and for files of other tools."""
    path = Path(path)
    if path.suffix != f".{WeightsFormat.SAFETENSORS}":
        return None
    noted = read_weights_file(path).metadata.get("subnet")
    return noted if isinstance(noted, dict) else None


def load_subnet(path: Path | str, *, sha256: str | None = None) -> tuple[ResNet, Architecture, SearchSpace]:
    """A network that was trained alone, with its architecture and the space of its code.

    Raises as `load_weights` does, `InputError` for a file of something else.
    """
    path = Path(path)
    content = read_weights_file(path, sha256=sha256)
    noted = content.metadata.get("subnet")
    if not isinstance(noted, dict) or not isinstance(noted.get("code"), str):
        raise InputError(f"{path} does not hold a network that was trained alone", hint="`kit run alone` writes such files")
    space = _parse_space(path, noted.get("space"))
    architecture = space.parse(noted["code"])
    classes = content.metadata.get("num_classes", DEFAULT_CLASSES)
    net = build_subnet(architecture, space, classes, generator=torch.Generator())
    _fill(net, content.tensors, path)
    return net.eval(), architecture, space


def save_weights(net: nn.Module, path: Path | str, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write `.safetensors` with the space, classes, cells and `extra` (JSON values) noted; equal weights, equal bytes."""
    metadata = _describe(net) | dict(extra or {})
    assert not RESERVED & set(extra or {}), f"extra must not overwrite {RESERVED}"
    write_weights_file(Path(path), WeightsFile(net.state_dict(), metadata), WeightsFormat.SAFETENSORS)


def export_weights(net: nn.Module, path: Path | str, file_format: WeightsFormat | str) -> None:
    """Write weights for others: Paddle's `.pdparams`, a `.pth` with a `state_dict`, or `.safetensors`.

    Raises `InputError` for sub-supernets whose cells `.pdparams` could not tell from the SSE34 partition.
    """
    file_format = WeightsFormat(file_format)
    if file_format is WeightsFormat.PDPARAMS and isinstance(net, FewShotSupernet):
        assumed, own = (
            [(cell.depth_choices, cell.out_digits) for cell in cells] for cells in (sse34_cells(net.space), net.cells)
        )
        if len(own) == len(assumed) and own != assumed:
            raise InputError(
                "five sub-supernets in .pdparams mean the SSE34 partition, and these own other cells",
                hint="export them as safetensors or pth, which note the cells",
            )
    write_weights_file(Path(path), WeightsFile(net.state_dict(), _describe(net)), file_format)


def sse34_cells(space: SearchSpace) -> tuple[SearchSpace, ...]:
    """The paper's partition by (stage-3, stage-4) depth, the rest last: what a few-shot `.pdparams` file leaves unsaid."""
    partition = load_recipe("sse34").partition
    assert partition is not None
    return partition.subspaces(space)


def _describe(net: nn.Module) -> dict[str, Any]:
    note: dict[str, Any] = {"format": FORMAT_VERSION, "num_classes": int(net.num_classes)}  # type: ignore[arg-type]
    if isinstance(net, ElasticResNet | FewShotSupernet):
        note["space"] = net.space.to_json()
    if isinstance(net, FewShotSupernet):
        note["cells"] = [cell.to_json() for cell in net.cells]
    return note


def _noted_space(path: Path, metadata: Mapping[str, Any]) -> SearchSpace | None:
    if metadata.get("format", FORMAT_VERSION) != FORMAT_VERSION:
        raise StorageError(f"{path} was written by another version of the kit (format {metadata['format']!r})")
    return _parse_space(path, metadata["space"]) if "space" in metadata else None


def _parse_space(path: Path, value: Any) -> SearchSpace:
    try:
        return SearchSpace.from_json(value)
    except InputError as error:
        raise StorageError(f"{path} notes something that is {error}") from error


def _check_space(path: Path, metadata: Mapping[str, Any], space: SearchSpace) -> None:
    noted = _noted_space(path, metadata)
    # What digits mean must agree; which of them were trained may differ.
    if noted is not None and (noted.channels, noted.stem) != (space.channels, space.stem):
        raise InputError(
            f"{path} holds weights of another search space: "
            f"channels {noted.channels} and {noted.stem}, expected {space.channels} and {space.stem}",
            hint=PROFILE_HINT,
        )


def _cells(path: Path, metadata: Mapping[str, Any], space: SearchSpace, count: int) -> tuple[SearchSpace, ...]:
    if "cells" in metadata:
        noted = metadata["cells"]
        cells = tuple(_parse_space(path, cell) for cell in (noted if isinstance(noted, list) else ()))
    elif len(cells := sse34_cells(space)) != count:
        message = f"{path} holds {count} sub-supernets and does not say which architectures each owns"
        raise InputError(message, hint="use the kit's own .safetensors, or fill a FewShotSupernet with load_weights")
    if len(cells) != count:
        raise StorageError(f"{path} holds {count} sub-supernets but notes {len(cells)} cells")
    return cells


def _member_count(names: Iterable[str]) -> int:
    return len({name.split(".")[1] for name in names if name.startswith(MEMBER_PREFIX)})


def _fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check every tensor against the network's, then copy all of them."""
    expected: dict[str, Tensor] = net.state_dict()
    # Paddle and old files have no such counters, and with a fixed momentum nothing reads them.
    counters = {name: torch.zeros_like(value) for name, value in expected.items() if name.endswith(COUNTER)}
    found = {**counters, **tensors}
    _check_names(expected, found, path)
    _check_shapes(expected, found, path)
    converted = {}
    for name, target in expected.items():
        if found[name].is_floating_point() != target.is_floating_point():
            raise InputError(f"{path}: {name} has elements of type {found[name].dtype}, expected {target.dtype}")
        converted[name] = found[name].to(dtype=target.dtype)
        if target.is_floating_point() and not bool(torch.isfinite(converted[name]).all()):
            raise StorageError(
                f"{path}: {name} holds values that are not finite",
                hint="the file is damaged or its training diverged: take an earlier one",
            )
        if name.endswith(VARIANCE) and bool((converted[name] < 0).any()):
            raise StorageError(f"{path}: {name} holds a negative variance", hint="the file is damaged: copy it again")
    net.load_state_dict(converted)


def _check_names(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in found]
    unexpected = sorted(name for name in found if name not in expected)
    if not missing and not unexpected:
        return
    told = ((missing, "missing"), (unexpected, "unexpected"))
    parts = [f"{some([name[:80] for name in names], 3)} {what}" for names, what in told if names]
    # The network's counters stand in for those a file lacks, so they say nothing about the file.
    here, there = (_member_count(name for name in names if not name.endswith(COUNTER)) for names in (expected, found))
    hint = "is it the state dict of this network? Names must be timm's (conv1.weight, layer1.0.conv1.weight, ..., fc.bias)"
    if here != there:
        kinds = [f"{count} sub-supernets" if count else "a single supernet" for count in (there, here)]
        hint = f"the file holds {kinds[0]}, the network is {kinds[1]}: load_supernet builds what the file holds"
    raise InputError(f"{path} does not fit the network: {', '.join(parts)}", hint=hint)


def _check_shapes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    wrong = [name for name in expected if expected[name].shape != found[name].shape]
    if not wrong:
        return
    first = wrong[0]
    more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
    shapes = f"has the shape {tuple(found[first].shape)}, expected {tuple(expected[first].shape)}{more}"
    differs = "number of classes" if all(".fc." in f".{name}" for name in wrong) else "search space"
    raise InputError(f"{path}: {first} {shapes}", hint=f"the {differs} differs: {PROFILE_HINT}")
