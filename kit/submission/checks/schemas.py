"""The typed content of an archive's JSON members: unknown keys, other types, nan and infinity are refused."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from kit.errors import StorageError
from kit.strict import Fraction, Strict
from kit.submission.layout import CODE_PATTERN

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Field(pattern=f"^{CODE_PATTERN}$")]
Count = Annotated[int, Field(ge=0)]
SHOWN = 3
M = TypeVar("M", bound=BaseModel)


class FileRow(Strict):
    """One file of the manifest."""

    path: str
    size: Count
    sha256: Sha256
    role: str | None


class Manifest(Strict):
    """`MANIFEST.json`; `submission/manifest.schema.json` says the same."""

    format: int
    rules: str
    kit: str
    run: str
    recipe: str
    profile: str
    files: list[FileRow]


class Evaluation(Strict):
    """One line of `results/evaluations.jsonl`."""

    name: str
    code: Code
    correct: Count
    images: Annotated[int, Field(ge=1)]
    weights_sha256: Sha256


class TensorPort(Strict):
    """An input or output of the ONNX files."""

    name: str
    shape: list[str | int]


class Normalization(Strict):
    """Mean and deviation per channel."""

    mean: Annotated[list[float], Field(min_length=1, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=3)]


class ExportedModel(Strict):
    """One exported sub-network."""

    code: Code
    file: str
    size: Count
    sha256: Sha256
    selections: Annotated[list[str], Field(min_length=1)]
    accuracy: Fraction
    correct: Count
    images: Annotated[int, Field(ge=1)]
    macs: Count
    params: Count
    weights: str
    weights_sha256: Sha256
    max_abs_difference: Annotated[float, Field(ge=0)]


class OnnxIndex(Strict):
    """`onnx/index.json`."""

    format: int
    opset: int
    input: TensorPort
    output: TensorPort
    normalization: Normalization
    supernet_sha256: Sha256
    models: list[ExportedModel]


class Inputs(Strict):
    """What a run was given, by name."""

    data: str
    pool: str | None
    weights: str | None


class Resolved(Strict):
    """`recipe/resolved.json`; recipe and profile are checked by their own models."""

    kind: str
    recipe: dict[str, Any]
    profile: dict[str, Any]
    seed: int
    data_fingerprint: str
    data_source: str | None = None
    classes: Annotated[int | None, Field(ge=1)] = None
    pool_fingerprint: Sha256
    weights_sha256: Sha256 | None
    processes: Annotated[int, Field(ge=1, le=100_000)] = 1
    kit: str
    inputs: Inputs


class Compute(Strict):
    """How sums were computed: what decides, beside the versions, whether counts come out the same."""

    threads: Annotated[int, Field(ge=1, le=4096)]
    cpu_capability: Annotated[str, Field(pattern=r"^[\w ]{1,20}$")]
    device: Annotated[str, Field(pattern=r"^[\w .()/+-]{1,60}$")]


class Environment(Strict):
    """`provenance/environment.json`."""

    python: Annotated[str, Field(pattern=r"^3\.\d+\.\d+\S{0,12}$")]
    implementation: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    system: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    machine: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    byteorder: Annotated[str, Field(pattern="^(little|big)$")]
    packages: dict[str, Annotated[str, Field(pattern=r"^\d[\w.+!-]{0,60}$")]]
    compute: Compute | None = None


def typed(kind: type[M], document: object, source: str) -> M:
    """A document as its model. Raises `StorageError` naming the first keys that are wrong."""
    return parsed(kind, json.dumps(document, default=str), source)


def parsed(kind: type[M], text: str | bytes, source: str) -> M:
    """`typed` for a document that is still a text."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        shown = [f"{'.'.join(map(str, problem['loc'])) or 'the document'}: {problem['msg']}" for problem in problems[:SHOWN]]
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise StorageError(f"{source}: {'; '.join(shown)}{more}") from error
