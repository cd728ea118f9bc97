"""The archive's layout: paths, roles, limits, and the one way in which each kind of member is written."""

import json
import re
from collections.abc import Mapping
from typing import Any

FORMAT = 1
RULES_VERSION = "1"

MANIFEST = "MANIFEST.json"
SUMS = "SHA256SUMS"
SUBMISSION = "submission.json"
README = "README.md"
LICENSE = "LICENSE"
REPRODUCE = "reproduce.sh"
SUPERNET = "weights/supernet.safetensors"
CALIBRATED = "weights/calibrated/"
ONNX = "onnx/"
ONNX_INDEX = "onnx/index.json"
POOL = "results/pool.json"
EVALUATIONS = "results/evaluations.jsonl"
RANK = "results/rank.json"
FIGURES = "results/figures/"
RECIPE = "recipe/recipe.toml"
PROFILE = "recipe/profile.toml"
RESOLVED = "recipe/resolved.json"
ENVIRONMENT = "provenance/environment.json"
EVENTS = "events.jsonl"
SBOM = "sbom.cdx.json"

# Who made a member: `write_archive` itself, `derived_members` from the others, or the run.
SEALS = (MANIFEST, SUMS)
DERIVED = (README, LICENSE, REPRODUCE, SBOM)
DATA = (SUBMISSION, SUPERNET, ONNX_INDEX, POOL, EVALUATIONS, RECIPE, PROFILE, RESOLVED, ENVIRONMENT, EVENTS)
REQUIRED = (*SEALS, *DERIVED, *DATA)
OPTIONAL = (RANK,)

ROLES = {
    SUBMISSION: "submission",
    README: "readme",
    LICENSE: "license",
    REPRODUCE: "script",
    SUPERNET: "supernet",
    ONNX_INDEX: "onnx-index",
    POOL: "pool",
    EVALUATIONS: "evaluations",
    RANK: "rank",
    RECIPE: "recipe",
    PROFILE: "profile",
    RESOLVED: "resolved",
    ENVIRONMENT: "environment",
    EVENTS: "events",
    SBOM: "sbom",
}
CODE_PATTERN = "[0-9]{52}"
PATTERNS = {
    "calibrated": re.compile(f"{CALIBRATED}({CODE_PATTERN})\\.safetensors"),
    "onnx": re.compile(f"{ONNX}({CODE_PATTERN})\\.onnx"),
    "figure": re.compile(f"{FIGURES}([a-z][a-z0-9-]{{0,40}})\\.svg"),
}
# Relative, ASCII, no hidden or parent parts: what every system can unpack, and nothing that one might understand otherwise.
SAFE_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")

MAX_NAME = 100
MAX_MEMBERS = 10_000
MAX_MEMBER_BYTES = 8 * 1024**3 - 1
MAX_TEXT_BYTES = 64 * 1024**2
MAX_EVENTS_BYTES = 4 * 1024**3
MAX_LINE_BYTES = 1024**2
CHUNK = 1024**2

ONE_LINE = (SUBMISSION, POOL)
TEXT_SUFFIXES = (".json", ".jsonl", ".toml", ".md", ".sh", ".svg")


def role_of(path: str) -> str | None:
    """What a member is for; None for a path that an archive does not have."""
    if path in ROLES:
        return ROLES[path]
    return next((role for role, pattern in PATTERNS.items() if pattern.fullmatch(path)), None)


def code_of(path: str) -> str | None:
    """The code in the name of calibrated weights or an ONNX file."""
    matches = (PATTERNS[role].fullmatch(path) for role in ("calibrated", "onnx"))
    return next((match[1] for match in matches if match), None)


def calibrated_path(code: str) -> str:
    """Where the calibrated weights of an architecture lie."""
    return f"{CALIBRATED}{code}.safetensors"


def onnx_path(code: str) -> str:
    """Where the ONNX file of an architecture lies."""
    return f"{ONNX}{code}.onnx"


def dump_json(path: str, value: object) -> bytes:
    """A JSON member's bytes: challenge files on one line (as `write_predictions` has them), all others indented."""
    if path in ONE_LINE:
        return json.dumps(value, allow_nan=False).encode()
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def dump_line(value: object) -> bytes:
    """One line of a `.jsonl` member."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def dump_sums(hashes: Mapping[str, str]) -> bytes:
    """`SHA256SUMS` as `sha256sum -c` reads it."""
    return "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes)).encode()


def make_manifest(facts: Mapping[str, str], files: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The manifest's document; `facts` are kit, run, recipe and profile, `files` sizes and hashes by path."""
    rows = [
        {"path": path, "size": size, "sha256": sha256, "role": role_of(path)}
        for path, (size, sha256) in sorted(files.items())
    ]
    return {"format": FORMAT, "rules": RULES_VERSION, **facts, "files": rows}
