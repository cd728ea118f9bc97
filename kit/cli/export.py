"""`kit export`: chosen sub-networks of a finished run for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import Ticker
from kit.errors import InputError, StopRequestedError
from kit.files import read_json
from kit.run_dir import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.pipeline.export import Exported
    from kit.pipeline.scored_run import ScoredRun

app = typer.Typer(no_args_is_help=True, help="Export sub-networks: onnx, hub.")


@app.command("onnx")
def onnx(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run: an id, or a path.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the files and index.json.")],
    code: Annotated[list[str] | None, typer.Option("--code", metavar="CODE", help="This one; may be repeated.")] = None,
    best: Annotated[
        int | None, typer.Option("--best", metavar="N", min=1, max=MOST, help="The N most accurate ones.")
    ] = None,
    smallest: Annotated[bool, typer.Option("--smallest", help="The one with the fewest multiply-adds.")] = False,
    largest: Annotated[bool, typer.Option("--largest", help="The one with the most multiply-adds.")] = False,
    pareto: Annotated[bool, typer.Option("--pareto", help="The Pareto front of accuracy against multiply-adds.")] = False,
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Where the run's data set lies now.")] = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Calibrate sub-networks and write each as ONNX and as a timm state dict; selections may be combined."""
    from kit.pipeline.export import FLAT, export_subnets
    from kit.pipeline.trained_alone import TrainedAlone, open_networks
    from kit.run_dir import find_run, require_directory

    found = find_run(run, runs)
    is_chosen = bool(code or best or smallest or largest or pareto)
    if not is_chosen and kind_of(found) != "alone":
        raise InputError("no sub-network is chosen", hint="add --code CODE, --best N, --smallest, --largest or --pareto")
    networks = open_networks(found, data)
    if isinstance(networks, TrainedAlone):  # there is nothing to choose from
        chosen = {networks.origin.scale.space.parse(each).code: ["alone"] for each in code or [networks.architecture.code]}
    else:
        chosen = _choose(networks, codes=code or [], best=best, smallest=smallest, largest=largest, pareto=pareto)
    require_directory(out)
    tell_exports(export_subnets(networks, chosen, out), len(chosen), list(networks.differences))
    index = read_json(out / FLAT.index, models=list)
    if json:
        print_json(_absolute(index, out.resolve()))
    else:
        print_index(index)


def tell_exports(exports: "Iterator[Exported]", total: int, differences: list[str]) -> None:
    """Narrate exports as they are done. A signal stops after the one at work; raises `StopRequestedError`."""
    from kit.pipeline.signals import stop_on_signals

    if differences:
        narrate(f"note: not the environment that scored ({'; '.join(differences)}): scores may differ slightly")
    narrate(f"exporting {total} sub-networks: each is checked, and compared in ONNX Runtime")
    with stop_on_signals() as stop, Ticker("sub-networks") as ticker:
        for done, (model, seconds) in enumerate(exports, 1):
            agreement = f"logits within {model['max_abs_difference']:.1e}"
            text = f"{model['code']}: top-1 {model['accuracy']:.4f}, {model['size']:,} bytes, {agreement}"
            ticker.show(text, done, total, seconds * (total - done))
            if stop() and done < total:
                raise StopRequestedError(
                    f"stopped by {stop.reason} after {done} of {total} exports; no file is half written",
                    exit_code=stop.error().exit_code,
                    hint="run the same command again: it exports anew",
                )


def print_index(index: dict[str, Any]) -> None:
    """The exported sub-networks as a table."""
    rows = [
        [
            model["code"],
            " ".join(model["selections"]),
            f"{model['accuracy']:.4f}",
            f"{model['macs']:,}",
            f"{model['params']:,}",
            f"{model['size']:,}",
        ]
        for model in index["models"]
    ]
    print_table(["code", "chosen as", "top-1", "multiply-adds", "parameters", "bytes"], rows, right=range(2, 6))


def _choose(
    scored: "ScoredRun", *, codes: list[str], best: int | None, smallest: bool, largest: bool, pareto: bool
) -> dict[str, list[str]]:
    from kit.submission import selection

    picked: selection.Selections = {}
    if best:
        picked["best"] = selection.best(scored.entries, best)
    if smallest:
        picked["smallest"] = [selection.smallest(scored.entries)]
    if largest:
        picked["largest"] = [selection.largest(scored.entries)]
    if pareto:
        picked["pareto"] = selection.pareto_front(scored.entries)
    chosen = selection.by_code(picked)
    for code in codes:
        # Parsed here, so that a wrong digit is named before anything is computed.
        chosen.setdefault(scored.evaluator.profile.search_space.parse(code).code, []).append("code")
    return chosen


def _absolute(index: dict[str, Any], folder: Path) -> dict[str, Any]:
    places = {"file", "weights"}
    models = [
        {key: str(folder / value) if key in places else value for key, value in model.items()} for model in index["models"]
    ]
    return {**index, "index": str(folder / "index.json"), "models": models}


@app.command("hub")
def hub(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run: an id, or a path.")],
    code: Annotated[str, typer.Option("--code", metavar="CODE", help="The sub-network.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for weights, configuration and model card.")],
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Where the run's data set lies now.")] = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """A folder that timm loads as `local-dir:DIR` (after `import kit.supernet`), with a model card to complete."""
    from kit.pipeline.hub_export import export_hub
    from kit.pipeline.trained_alone import open_networks
    from kit.run_dir import find_run

    facts = export_hub(open_networks(find_run(run, runs), data), code, out)
    if json:
        print_json(facts | {"path": str(out.resolve())})
    else:
        narrate(
            f"{facts['code']}: {facts['accuracy']:.4f} on {facts['images']:,} images; complete the licence in its README.md"
        )
        print_text(str(out.resolve()))
