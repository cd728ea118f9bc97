"""`kit architecture CODE`: one sub-network, its shape and its costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.latency import LatencyOption, open_latency
from kit.cli.output import JsonOption, encodable, print_json, print_table, print_text

if TYPE_CHECKING:
    from kit.recipe import Profile
    from kit.search_space import Architecture

BARS = "▁▂▃▄▅▆▇█"


def architecture(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The 52 digits of the challenge's JSON.")],
    profile: Annotated[str, typer.Option("--profile", help="What the digits mean in channels.")] = "imagenet",
    latency: LatencyOption = None,
    json: JsonOption = False,
) -> None:
    """Show a sub-network: depths, channels, multiply-adds and parameters; with a table, how long it takes."""
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    parsed = chosen.search_space.parse(code)
    table = None if latency is None else open_latency(latency, chosen.scale, f"profile {chosen.name}")
    milliseconds = {} if table is None else {"latency_ms": table.milliseconds(parsed)}
    if json:
        print_json(_document(parsed, chosen) | milliseconds)
        return
    _draw(parsed, chosen)
    if table is not None:
        share = milliseconds["latency_ms"] / table.milliseconds(chosen.search_space.largest)
        print_text(f"{milliseconds['latency_ms']:>15,.3f} ms, {share:.0%} of the full network's")


def _document(parsed: "Architecture", profile: "Profile") -> dict[str, Any]:
    from kit.costs import costs

    cost = costs(parsed, profile.scale)
    return {
        "code": parsed.code,
        "depths": list(parsed.depths),
        "stem_channels": parsed.stem_channels,
        "stages": [
            {"out_channels": stage.out_channels, "mid_channels": list(stage.mid_channels)} for stage in parsed.stages
        ],
        "macs": cost.macs,
        "params": cost.params,
        "profile": profile.name,
    }


def _draw(parsed: "Architecture", profile: "Profile") -> None:
    from kit.costs import stage_costs

    space = profile.search_space
    network = stage_costs(parsed, profile.scale)
    total = sum(part.macs for part in network.values())

    def row(label: str, name: str, out: int, blocks: str, mids: str = "") -> list[str]:
        size, macs = network[name]
        return [label, f"{size} x {size}", str(out), f"{macs / total:.0%}", blocks, mids]

    kernel = f"{space.stem.kernel} x {space.stem.kernel} convolution" + (", then max pool" if space.stem.pool else "")
    rows = [row("stem", "conv1", parsed.stem_channels, kernel)]
    for index, (stage, base) in enumerate(zip(parsed.stages, space.base_channels, strict=True), 1):
        blocks = " ".join(_bar(mid / base, min(space.ratios)) for mid in stage.mid_channels)
        rows.append(
            row(f"stage {index}", f"layer{index}", stage.out_channels, blocks, " ".join(map(str, stage.mid_channels)))
        )
    rows.append(row("linear", "fc", profile.num_classes, "average pool, then classes"))
    print_text(f"{parsed.code}  ({profile.name}, {profile.resolution} x {profile.resolution} pixels)\n")
    print_table(["", "size", "out", "MACs", "blocks", "inner channels"], rows, right=(1, 2, 3))
    print_text("")
    document, full = _document(parsed, profile), _document(space.largest, profile)
    for key, what in (("macs", "multiply-adds"), ("params", "parameters")):
        share = f"{document[key] / full[key]:.0%} of the full network's {full[key]:,}"
        print_text(f"{document[key]:>15,} {what}, {share}")


def _bar(ratio: float, smallest: float) -> str:
    """A block as a bar whose height falls with its inner width, from the full width to the smallest ratio."""
    if not encodable(BARS):
        return "##"
    share = 1.0 if smallest >= 1 else (ratio - smallest) / (1 - smallest)
    return 2 * BARS[round(min(1.0, max(0.0, share)) * (len(BARS) - 1))]
