"""`kit weights`: weights of other tools in, the kit's weights out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.output import JsonOption, narrate, print_json, print_text
from kit.errors import InputError
from kit.files import require_suffix, sha256_of_file

if TYPE_CHECKING:
    from kit.search_space import SearchSpace
    from kit.supernet import ElasticResNet, FewShotSupernet

app = typer.Typer(no_args_is_help=True, help="Import and export weights.")


class Format(StrEnum):
    """Formats of `kit weights export`."""

    PDPARAMS = "pdparams"
    SAFETENSORS = "safetensors"
    PTH = "pth"


ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="Search space and classes; default: what the file notes, else the challenge's."),
]


@app.command("import")
def import_weights(
    file: Annotated[Path, typer.Argument(help="A .pdparams, .pth or .safetensors file.")],
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    profile: ProfileOption = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="The state dict of a checkpoint that holds several.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check weights against the search space and write them as the kit's .safetensors."""
    from kit.supernet.weights import save_weights

    require_suffix(out, f".{Format.SAFETENSORS}")
    net = _load(file, profile, key)
    save_weights(net, out)
    _report(net, net.space, source=file, out=out, as_json=json)


@app.command("export")
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a weights file.")],
    file_format: Annotated[Format, typer.Option("--format", help="What to write.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    profile: ProfileOption = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where runs lie.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Write a run's final weights for Paddle (pdparams), PyTorch (pth) or both (safetensors)."""
    from kit.supernet.weights import export_weights, load_subnet, noted_subnet

    require_suffix(out, f".{file_format}")
    source = find_weights(run, runs)
    if noted_subnet(source) is not None:
        subnet, _, space = load_subnet(source)
        export_weights(subnet, out, file_format.value)
        _report(subnet, space, source=source, out=out, as_json=json)
        return
    net = _load(source, profile)
    export_weights(net, out, file_format.value)
    _report(net, net.space, source=source, out=out, as_json=json)


def find_weights(argument: str, runs: Path) -> Path:
    """The weights file itself, or the final weights of a run. Raises `InputError` when there is neither."""
    from kit.run_dir import find_run, kind_of

    if Path(argument).is_file():
        return Path(argument)
    run = find_run(argument, runs)
    if kind_of(run) == "alone":
        from kit.pipeline.trained_alone import weights_of_alone

        return weights_of_alone(run)
    if not run.weights.is_file():
        raise InputError(f"run {run.id} has no final weights yet", hint="run the same command again: it continues")
    return run.weights


def _load(path: Path, profile: str | None, key: str | None = None) -> "ElasticResNet | FewShotSupernet":
    from kit.recipe import load_profile
    from kit.supernet.weights import load_supernet

    if profile is None:
        return load_supernet(path, key=key, note=narrate)
    chosen = load_profile(profile)
    return load_supernet(path, chosen.search_space, chosen.num_classes, key=key, note=narrate)


def _report(net: Any, space: "SearchSpace", *, source: Path, out: Path, as_json: bool) -> None:
    from kit.supernet import FewShotSupernet

    report: dict[str, Any] = {
        "source": str(source.resolve()),
        "file": str(out.resolve()),
        "sha256": sha256_of_file(out),
        "size": out.stat().st_size,
        "members": len(net.cells) if isinstance(net, FewShotSupernet) else 1,
        "num_classes": net.num_classes,
        "base_channels": list(space.base_channels),
        "params": sum(parameter.numel() for parameter in net.parameters()),
    }
    if as_json:
        print_json(report)
        return
    members = f"{report['members']} sub-supernets, " if report["members"] > 1 else ""
    print_text(f"{out}: {members}{report['params']:,} parameters, SHA-256 {report['sha256']}")
