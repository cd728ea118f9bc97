"""A sub-network drawn stage by stage: its blocks as bars of their inner width, strides, sizes and costs."""

from textual.content import Content

from kit.costs import costs, stage_costs
from kit.dashboard.widgets.parts import Part, bar, block
from kit.recipe import Profile
from kit.search_space import Architecture

LONGEST = 32
NARROWEST = 6


def code_parts(code: str) -> list[Part]:
    """A code with its groups told apart: image size, depths, stem, and the slots of every other stage; empty slots fade."""
    groups = ((0, 1, "$text-muted"), (1, 5, "$text-accent"), (5, 6, "$text-muted"))
    stages = ((6, 16, "$text-primary"), (16, 26, "$text-success"), (26, 42, "$text-primary"), (42, 52, "$text-success"))
    parts: list[Part] = []
    for start, end, style in (*groups, *stages):
        digits = code[start:end]
        filled = digits.rstrip("0") if start >= 6 else digits
        parts += [(filled, style), (digits[len(filled) :], "$text-muted")]
    return parts


def network(architecture: Architecture, profile: Profile, width: int, *, compact: bool = False) -> Content:
    """The drawing, `width` columns wide; `compact` has one line per stage instead of one per block."""
    space = profile.search_space
    built = stage_costs(architecture, profile.scale)
    total = sum(stage.macs for stage in built.values())
    stem = space.stem
    kernel = f"{stem.kernel}x{stem.kernel} conv" + (" + max pool" if stem.pool else "")
    stride = stem.stride * (2 if stem.pool else 1)
    before = profile.resolution
    parts = _heading("input", f"{before}x{before}", "", "3 channels", "")
    parts += _heading(
        "stem",
        _size(built["conv1"].size, stem.pool),
        f"/{stride}",
        f"{kernel}, {architecture.stem_channels}",
        _share(built["conv1"].macs, total),
    )
    for index, (stage, base) in enumerate(zip(architecture.stages, space.base_channels, strict=True), 1):
        name = f"layer{index}"
        halved = "/2" if index > 1 else "/1"
        size = f"{built[name].size}x{built[name].size}"
        out = f"{len(stage.mid_channels)} blocks, {stage.out_channels} of {base}"
        parts += _heading(f"stage {index}", size, halved, out, _share(built[name].macs, total))
        if compact:
            glyphs = "".join(block(mid / base) * 2 + " " for mid in stage.mid_channels)
            parts += ["  ", (glyphs, "$primary"), (" ".join(map(str, stage.mid_channels)), "$text-muted"), "\n"]
            continue
        length = max(NARROWEST, min(LONGEST, width - 20))
        for number, mid in enumerate(stage.mid_channels, 1):
            mark = "┬" if number == 1 else "└" if number == len(stage.mid_channels) else "├"
            mark = "─" if len(stage.mid_channels) == 1 else mark
            full, rest = bar(mid / base, length)
            parts += [
                (f"  {mark} ", "$text-muted"),
                (full, "$primary" if index % 2 else "$success"),
                (rest, "$panel-lighten-2"),
            ]
            parts += [f" {mid:>3}", (f" → {stage.out_channels}", "$text-muted"), "\n"]
    parts += _heading("linear", "1x1", "", f"average pool, {profile.num_classes} classes", _share(built["fc"].macs, total))
    return Content.assemble(*parts[:-1])


def cost_lines(architecture: Architecture, profile: Profile) -> list[Part]:
    """Multiply-adds and parameters with their part of the full network's."""
    own, full = costs(architecture, profile.scale), costs(profile.search_space.largest, profile.scale)
    parts: list[Part] = []
    for name, cost, most in (("multiply-adds", own.macs, full.macs), ("parameters", own.params, full.params)):
        done, rest = bar(cost / most, 10)
        parts += [f"{cost:>14,} ", (f"{name:<14}", "$text-muted"), (done, "$accent"), (rest, "$panel-lighten-2")]
        parts += [(f" {cost / most:.0%}", "$text-muted"), "\n"]
    return parts


def _heading(name: str, size: str, stride: str, what: str, share: str) -> list[Part]:
    return [
        (f"{name:<8}", "bold $text-primary"),
        (f"{size:<9}", ""),
        (f"{stride:<3}", "bold $text-warning" if stride not in ("", "/1") else "$text-muted"),
        (f"{what}", "$text-muted"),
        (f"  {share}" if share else "", "$text-accent"),
        "\n",
    ]


def _size(size: int, pooled: bool) -> str:
    size = (size - 1) // 2 + 1 if pooled else size
    return f"{size}x{size}"


def _share(cost: int, total: int) -> str:
    return f"{cost / total:.0%} of MACs" if total else ""
