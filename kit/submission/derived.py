"""What follows from other members: README, license, `reproduce.sh`, bill of materials, and what the figures show.

The builder writes them and the checker makes them again, so none of them can say what the data does not.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from kit import __version__
from kit.costs import pool_costs
from kit.errors import InputError, StorageError
from kit.events import from_line
from kit.figures.plot import Plot
from kit.figures.run_plots import accuracy_plot, loss_plot, rank_plot, truth_plot
from kit.files import parse_json, sha256_of_file, storage_errors
from kit.rank_report import TRUTH_HASH, RankReport
from kit.ranking.made_with import MadeWith
from kit.ranking.truth_file import KnownTruth, truth_for
from kit.ranking.words import HEADER, describe, table
from kit.recipe import Profile
from kit.submission import layout
from kit.submission.history import History
from kit.submission.members import LocalMembers, Members
from kit.submission.sbom import make_sbom

PLACEHOLDER = re.compile(r"@([A-Z0-9_]+)@")


def templates_folder() -> Path:
    """The folder of templates: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "submission" / "templates"
    return installed if installed.is_dir() else package.parent / "submission"


def license_text() -> bytes:
    """The kit's license, which is the archive's too: beside a source checkout, or in an installed package's metadata."""
    path = Path(__file__).resolve().parents[2] / layout.LICENSE
    if path.is_file():
        with storage_errors("read", path):
            return path.read_bytes()
    text = metadata.distribution("kit").read_text(f"licenses/{layout.LICENSE}")
    if text is None:
        raise StorageError("this installation of kit lacks its license file", hint="install kit again")
    return text.encode()


def derived_members(data: Mapping[str, bytes | Path]) -> dict[str, bytes]:
    """The documents of an archive with these data and figures."""
    members = LocalMembers(data)
    documents = {
        layout.LICENSE: license_text(),
        layout.README: make_readme(members),
        layout.REPRODUCE: make_reproduce(members),
    }
    every = LocalMembers({**data, **documents})
    known = {name: members.sha256(name) if name in members else every.sha256(name) for name in every.names()}
    bill = make_sbom(members.json(layout.ENVIRONMENT), known, kit=__version__)
    return {**documents, layout.SBOM: layout.dump_json(layout.SBOM, bill)}


def parse_profile(members: Members) -> Profile:
    """The profile of `recipe/resolved.json`, with the data's name. Raises `StorageError`."""
    resolved = members.json(layout.RESOLVED)
    try:
        profile = {**resolved["profile"], "data": str(resolved["inputs"]["data"])}
        return Profile.model_validate_json(json.dumps(profile, allow_nan=False))
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{layout.RESOLVED} holds no valid profile: {str(error)[:200]}") from error


def fitting_truth(members: Members) -> KnownTruth:
    """The shipped truth that may judge this run. Raises `InputError` saying why there is none."""
    profile = parse_profile(members)
    return truth_for(profile.name, MadeWith.of_run(profile, members.json(layout.RESOLVED)))


def make_readme(members: Members) -> bytes:
    """`README.md`."""
    facts, resolved, index = members.facts(), members.json(layout.RESOLVED), members.json(layout.ONNX_INDEX)
    profile, models = parse_profile(members), index["models"]
    first = next(members.lines(layout.EVALUATIONS), b"")
    few_shot = resolved["recipe"].get("partition")
    cells = 0 if few_shot is None else len(few_shot["cells"]) + bool(few_shot["rest"])
    rows = "".join(
        f"| `{m['code']}` | {', '.join(m['selections'])} | {m['accuracy']:.4f} | {m['macs']:,} | {m['params']:,} |\n"
        for m in models
    )
    return _render(
        "README.md.in",
        {
            **{key.upper(): value for key, value in facts.items()},
            "SEED": resolved["seed"],
            "ENTRIES": f"{len(members.json(layout.SUBMISSION)):,}",
            "IMAGES": _images_seen(parse_json(first, source=layout.EVALUATIONS)["images"], profile),
            "MEMBERS": f" ({cells} sub-supernets, one file)" if cells else "",
            "SUPERNET_SHA256": members.sha256(layout.SUPERNET),
            "SUBMISSION_SHA256": members.sha256(layout.SUBMISSION),
            "DATA": profile.data,
            "EXPORTS": f"| code | selected as | top-1 | multiply-adds | parameters |\n|---|---|---|---|---|\n{rows}",
            "CODE": models[0]["code"] if models else "CODE",
            "CLASSES": profile.num_classes,
            "RESOLUTION": profile.resolution,
            "RANK": _rank_section(members),
        },
    )


def _images_seen(images: int, profile: Profile) -> str:
    """On how many images, and how, each sub-network was scored."""
    drawn = " (a stratified draw, not all of them: `profile.evaluation.images`)" if profile.evaluation.images else ""
    low = profile.evaluation.precision == "bfloat16"
    return f"{images:,} validation images{drawn}" + ", in bfloat16" * low


def make_reproduce(members: Members) -> bytes:
    """`reproduce.sh`."""
    packages = members.json(layout.ENVIRONMENT).get("packages", {})
    # A local version such as 2.14.1+cpu exists on one index only.
    pins = "\n".join(f"{name}=={str(version).partition('+')[0]}" for name, version in sorted(packages.items()))
    facts = {key.upper(): value for key, value in members.facts().items()}
    return _render("reproduce.sh.in", {**facts, "DATA": parse_profile(members).data, "CONSTRAINTS": pins})


def plots_of_run(members: Members, history: History | None = None) -> dict[str, Plot]:
    """What the figures show, by their paths; the log is read unless its history is given."""
    history = history or History.read(filter(None, map(from_line, members.lines(layout.EVENTS))))
    profile, submission = parse_profile(members), members.json(layout.SUBMISSION)
    scores = {str(entry["arch"]): float(entry["acc"]) for entry in submission.values()}
    macs = pool_costs(list(scores), profile.scale).macs.tolist()
    curves = {name: phase.curve for name, phase in history.phases.items() if phase.curve}
    plots = {"accuracy-macs": accuracy_plot(macs, list(scores.values()))}
    if curves:
        plots["training-loss"] = loss_plot(curves)
    if layout.RANK in members:
        # Imported when there is a rank, because it imports scipy.
        from kit.ranking.joining import join

        document = members.json(layout.RANK)
        report = RankReport.from_json(document)
        plots["rank"] = rank_plot(report)
        joined = None
        with suppress(InputError):
            truth = fitting_truth(members)
            # A run may be older than the truth that this kit ships.
            if document.get(TRUTH_HASH) in (None, sha256_of_file(truth.path)):
                joined = join(scores, truth.truth)
        if joined is not None and joined.codes:
            plots["predicted-true"] = truth_plot(joined.predictions, list(joined.truth.means.values()), report.predictions)
    return {f"{layout.FIGURES}{name}.svg": plot for name, plot in plots.items()}


def _rank_section(members: Members) -> str:
    try:
        fitting_truth(members)
        doubt = ""
    except InputError as error:
        doubt = f"{error}.\n"
    if layout.RANK not in members:
        return f"\n## How it ranks\n\nIt was not ranked: {doubt}" if doubt else ""
    report = RankReport.from_json(members.json(layout.RANK))
    rows = "\n".join(f"| {' | '.join(row)} |" for row in (HEADER, ["---"] * len(HEADER), *table(report)))
    intro = "Against architectures that were also trained alone:"
    doubt = doubt and f"\nDo not trust these figures: {doubt}"
    return f"\n## How it ranks\n\n{intro}\n\n{rows}\n\n{describe(report)}\n{doubt}"


def _render(template: str, values: Mapping[str, object]) -> bytes:
    path = templates_folder() / template
    with storage_errors("read", path):
        text = path.read_text(encoding="utf-8")
    return PLACEHOLDER.sub(lambda match: str(values[match[1]]), text).encode()
