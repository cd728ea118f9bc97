"""Rules about where it came from: recipe, log, environment, rank, everything that follows from them, and the challenge."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from kit import __version__
from kit.errors import InputError
from kit.figures.drawing import draw, drawing_version, drawn_by, flaw_of, same_drawing
from kit.files import sha256_of_file
from kit.methods import ForeignPhase
from kit.rank_report import TRUTH_HASH
from kit.recipe import Profile, Recipe, to_toml
from kit.submission import layout
from kit.submission.checks.contents import Submission
from kit.submission.checks.registry import Problem, differences, rule
from kit.submission.checks.schemas import typed
from kit.submission.derived import fitting_truth, license_text, make_readme, make_reproduce, plots_of_run
from kit.submission.private_facts import clean_data_spec
from kit.submission.sbom import SPEC_VERSION, make_sbom

NEEDED_PACKAGES = ("numpy", "safetensors", "timm", "torch")


@rule("recipe", "recipe.toml and profile.toml say what resolved.json says, and what ran")
def _recipe(submission: Submission) -> Iterator[Problem]:
    resolved = submission.resolved
    if resolved.kind != "recipe":
        yield Problem(layout.RESOLVED, f"it is of a run of kind {resolved.kind!r}, expected a recipe")
    recipe = typed(Recipe, submission.toml(layout.RECIPE), layout.RECIPE)
    if recipe != submission.recipe:
        yield Problem(layout.RECIPE, f"it differs from {layout.RESOLVED} in {_difference(recipe, submission.recipe)}")
    yield from _writing_problems(submission, layout.RECIPE, recipe)
    # How a run is executed is no part of what ran, so only the profile's file holds it.
    document = submission.toml(layout.PROFILE)
    settings = submission.profile.model_copy(update={"runtime": type(submission.profile.runtime)()})
    found = typed(Profile, document, layout.PROFILE)
    if found.model_copy(update={"runtime": settings.runtime}) != settings:
        yield Problem(layout.PROFILE, f"it differs from {layout.RESOLVED} in {_difference(found, settings)}")
    yield from _writing_problems(submission, layout.PROFILE, found)
    for name in (resolved.inputs.data, resolved.inputs.pool, resolved.inputs.weights):
        if name is not None and (clean_data_spec(name) != name or "\\" in name or name.startswith("/")):
            yield Problem(layout.RESOLVED, f"the input {name[:60]!r} is a place, not a name")


@rule("events", "the log is whole, and tells of this recipe, seed and pool from the first phase to the last score")
def _events(submission: Submission) -> Iterator[Problem]:
    at = partial(Problem, layout.EVENTS)
    yield from map(at, submission.log.foreign)
    history, resolved = submission.log.history, submission.resolved
    for start in history.starts:
        told = (start.recipe, start.profile, start.seed)
        if told != (wanted := (submission.recipe.name, submission.profile.name, resolved.seed)):
            yield at(f"a start of the run tells of recipe, profile and seed {told}, resolved.json of {wanted}")
        if list(start.phases) != (phases := [phase.name for phase in _phases(submission)]):
            yield at(f"a start of the run tells of phases {', '.join(start.phases)[:100]}, expected {', '.join(phases)}")
    if len({start.run for start in history.starts}) > 1:
        yield at("it tells of several runs")
    yield from map(at, _phase_problems(submission))
    if history.scored != len(submission.pool):
        yield at(f"it tells of {history.scored} scored sub-networks, the pool has {len(submission.pool)}")
    if not history.finished:
        yield at("it does not tell that the run was finished")
    for code, counts in history.counts.items():
        if submission.counts.get(code, counts) != counts:
            yield at(
                f"{code[:60]} got {counts[0]} of {counts[1]} right, {layout.EVALUATIONS} says {submission.counts[code]}"
            )


@rule("environment", "the versions and the platform of the run are recorded", layout.ENVIRONMENT)
def _environment(submission: Submission) -> Iterator[str]:
    missing = [name for name in NEEDED_PACKAGES if name not in submission.environment.packages]
    if missing:
        yield f"it does not record the versions of {', '.join(missing)}"


@rule("rank", "rank.json is what the run measured, and what measuring again gives", layout.RANK)
def _rank(submission: Submission) -> Iterator[str]:
    history = submission.log.history
    if layout.RANK not in submission.archive:
        if history.rank is not None:
            yield f"it is missing, although {layout.EVENTS} tells of a rank"
        return
    found = submission.rank
    document = submission.document(layout.RANK)
    if found.n > len(submission.predictions):
        yield f"it counts {found.n} architectures, the submission has {len(submission.predictions)}"
    for name, interval in found.predictions.figures.items():
        if not interval.low <= interval.value <= interval.high:
            yield f"{name} {interval.value} lies outside of its interval"
    if history.rank != document:
        yield f"{layout.EVENTS} tells of another rank: {next(differences(document, history.rank or {}), '')}"
    yield from _measuring_problems(submission, document)


@rule(
    "rank-truth",
    "the truth behind the rank was made with this run's search space, resolution, classes and data",
    layout.RANK,
)
def _rank_truth(submission: Submission) -> Iterator[str]:
    if layout.RANK not in submission.archive or _ran_here(submission):
        return  # of a run of this version, which measures no such rank, the rule `rank` says so
    try:
        fitting_truth(submission.archive)
    except InputError as error:
        yield f"{error}: older kits compared with any truth of the profile's name"


@rule("sbom", "the bill of materials lists the packages of the environment and every file with its hash", layout.SBOM)
def _sbom(submission: Submission) -> Iterator[str]:
    document = submission.document(layout.SBOM)
    kind = {"bomFormat": "CycloneDX", "specVersion": SPEC_VERSION}
    if not isinstance(document, dict) or any(document.get(key) != value for key, value in kind.items()):
        yield f"it is no CycloneDX {SPEC_VERSION} document"
        return
    component = document.get("metadata", {}).get("component", {}) if isinstance(document.get("metadata"), dict) else {}
    if not isinstance(component, dict) or component.get("version") != submission.manifest.kit:
        yield f"it is not of kit {submission.manifest.kit[:40]}, which {layout.MANIFEST} names"
    if not submission.is_of_this_version:
        return  # another version lists otherwise; the rule `kit-version` says so
    archive = submission.archive
    hashed = {name: archive.sha256(name) for name in archive.names() if name not in (*layout.SEALS, layout.SBOM)}
    wanted = make_sbom(submission.environment.model_dump(exclude_none=True), hashed, kit=submission.manifest.kit)
    yield from (f"it does not fit the archive: {difference}" for difference in differences(document, wanted))


@rule("documents", "README.md, LICENSE and reproduce.sh are what the kit writes for this run")
def _documents(submission: Submission) -> Iterator[Problem]:
    if not submission.is_of_this_version:
        return  # the rule `kit-version` says so
    submission.require_data()
    archive = submission.archive
    for name, make in (
        (layout.LICENSE, license_text),
        (layout.README, partial(make_readme, archive)),
        (layout.REPRODUCE, partial(make_reproduce, archive)),
    ):
        try:
            wanted = make()
        except (LookupError, TypeError, ValueError) as error:
            yield Problem(name, f"it cannot be compared, because what it is made from is not whole ({error!r})"[:200])
            continue
        if archive.read(name) != wanted:
            yield Problem(name, "it differs from what the kit writes for this run")


@rule("figures", "figures are plain pictures, and show this run's numbers")
def _figures(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    found = {name: archive.read(name) for name in archive.names() if name.startswith(layout.FIGURES)}
    for name, svg in found.items():
        if flaw := flaw_of(svg):
            yield Problem(name, flaw)
    if not submission.is_of_this_version:
        return  # another version may draw otherwise; the rule `kit-version` says so
    submission.require_data()
    try:
        wanted = plots_of_run(archive, submission.log.history)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        yield Problem(layout.FIGURES, f"they cannot be compared, because what they show is not whole ({error!r})"[:200])
        return
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield Problem(name, "this figure is missing")
        elif name not in wanted:
            yield Problem(name, "an archive of this run has no such figure")
        elif (version := drawn_by(found[name])) is None:
            yield Problem(name, "it does not say what drew it")
        elif version == drawing_version() and not same_drawing(draw(wanted[name]), found[name]):
            yield Problem(name, "it is not the figure of this run")


@rule("figures-version", "figures were drawn by the installed matplotlib, and are drawn again")
def _figures_version(submission: Submission) -> Iterator[Problem]:
    for name in submission.archive.names() if submission.is_of_this_version else ():
        if name.startswith(layout.FIGURES):
            drawn, own = drawn_by(submission.archive.read(name)), drawing_version()
            if drawn not in (None, own):
                yield Problem(name, f"matplotlib {drawn} drew it, this is {own}: it was not drawn again")


@rule("no-truth", "no accuracies of stand-alone training went into the run")
def _no_truth(submission: Submission) -> Iterator[Problem]:
    known = [entry.name for entry in submission.pool if entry.accuracy]
    if known:
        yield Problem(layout.POOL, f"{len(known)} entries came with accuracies, {known[0][:60]!r} first")
    inputs = submission.resolved.inputs
    for given in (inputs.pool, inputs.weights, inputs.data):
        if given is not None and _looks_like_truth(given):
            yield Problem(layout.RESOLVED, f"the run's input {given[:60]!r} looks like a truth")
    history = submission.log.history
    if history.rank is not None and history.before_rank != frozenset(phase.name for phase in _phases(submission)):
        yield Problem(layout.EVENTS, "the truth was opened before all phases and scores were done")


@rule("several-supernets", "one supernet scores all sub-networks", layout.RECIPE)
def _several_supernets(submission: Submission) -> Iterator[str]:
    partition = submission.recipe.partition
    if partition is not None:
        yield f"the recipe declares {partition.size} sub-supernets, each scores the architectures of its cell"


@rule("kit-version", "it was built by this version of kit", layout.MANIFEST)
def _kit_version(submission: Submission) -> Iterator[str]:
    if not submission.is_of_this_version:
        made, own = submission.manifest.kit[:40], __version__
        yield f"kit {made} built it, this is {own}: documents, figures and bill of materials were not made again"


def _ran_here(submission: Submission) -> bool:
    """Whether this version of kit both made the run and built the archive."""
    return submission.is_of_this_version and submission.resolved.kit == __version__


def _phases(submission: Submission) -> list[Any]:
    given = submission.resolved.weights_sha256 is not None
    return [phase for phase in submission.recipe.phases if not (given and phase.pretrains)]


def _phase_problems(submission: Submission) -> Iterator[str]:
    told = submission.log.history.phases
    wanted = {phase.name: phase for phase in _phases(submission)}
    if not submission.log.history.starts:
        yield "it does not tell of a start"
    for name in told.keys() - wanted.keys():
        yield f"it tells of a phase {name[:60]!r} that the recipe does not have"
    for name, phase in wanted.items():
        found = told.get(name)
        if found is None or not (found.finished or found.reused):
            yield f"it does not tell of the end of phase {name}"
        elif not found.reused:
            # Only a foreign method itself knows its paths, and it is not imported here.
            paths = found.paths if isinstance(phase, ForeignPhase) else phase.paths_per_step
            ran = (found.method, found.epochs, found.paths)
            if ran != (asked := (phase.method, phase.epochs, paths)):
                yield f"phase {name} ran with method, epochs and paths {ran}, the recipe says {asked}"
            if found.steps_seen != found.steps:
                yield f"phase {name} has {found.steps} steps, the log ends after {found.steps_seen}"


def _writing_problems(submission: Submission, name: str, found: Recipe | Profile) -> Iterator[Problem]:
    # Another version may know other settings, whose defaults it would spell out.
    if submission.is_of_this_version and to_toml(found).encode() != submission.archive.read(name):
        yield Problem(name, "it is not written as the kit writes it")


def _difference(found: Recipe | Profile, wanted: Recipe | Profile) -> str:
    return next(differences(found.model_dump(mode="json"), wanted.model_dump(mode="json")), "")


def _measuring_problems(submission: Submission, document: dict[str, Any]) -> Iterator[str]:
    """Rank these predictions again, if the truth that the kit ships for such a run is still the one of the run."""
    # Imported when needed, because it takes longer than all rules together (scipy).
    from kit.ranking.joining import join

    try:
        truth = fitting_truth(submission.archive)
    except InputError as error:
        if _ran_here(submission):
            yield f"it was measured, but {error}"
        return
    named, own = document.get(TRUTH_HASH), sha256_of_file(truth.path)
    if submission.is_of_this_version and named not in (None, own):
        yield f"it names the truth {str(named)[:64]}, this version of kit ships {own}"
    ran_here = _ran_here(submission)
    if named != own and not (named is None and ran_here):
        return
    scores = {entry.code: entry.accuracy or 0.0 for entry in submission.predictions if submission.space.parse(entry.code)}
    report = join(scores, truth.truth).rank(submission.profile.scale)
    measured = report.to_json() | ({} if named is None else {TRUTH_HASH: own})
    if not ran_here:  # another version reports more or less, and these the same
        measured = {key: measured[key] for key in ("n", *report.predictions.figures)}
        document = {key: document[key] for key in measured}
    yield from (f"measuring again gives another rank: {difference}" for difference in differences(document, measured))


def _looks_like_truth(name: str) -> bool:
    if "truth" in name.lower() or not name.endswith(".json"):
        return "truth" in name.lower()
    from kit.ranking.truth_file import shipped_truths

    return name in {path.name for path in shipped_truths().values()}
