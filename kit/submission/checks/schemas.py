"""The typed content of an archive's JSON members: unknown keys, other types, nan and infinity are refused."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kit.errors import StorageError
from kit.submission.layout import CODE_PATTERN

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Field(pattern=f"^{CODE_PATTERN}$")]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
SHOWN = 3
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Document(BaseModel):
    """Frozen and strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FileRow(Document):
    """One file of the manifest."""

    path: str
    size: Count
    sha256: Sha256
    role: str | None


class Manifest(Document):
    """`MANIFEST.json`; `submission/manifest.schema.json` says the same."""

    format: int
    rules: str
    kit: str
    run: str
    recipe: str
    profile: str
    files: list[FileRow]


class Evaluation(Document):
    """One line of `results/evaluations.jsonl`."""

    name: str
    code: Code
    correct: Count
    images: Annotated[int, Field(ge=1)]
    weights_sha256: Sha256


class TensorPort(Document):
    """An input or output of the ONNX files."""

    name: str
    shape: list[str | int]


class Normalization(Document):
    """Mean and deviation per channel."""

    mean: Annotated[list[float], Field(min_length=1, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=3)]


class ExportedModel(Document):
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


class OnnxIndex(Document):
    """`onnx/index.json`."""

    format: int
    opset: int
    input: TensorPort
    output: TensorPort
    normalization: Normalization
    supernet_sha256: Sha256
    models: list[ExportedModel]


class Inputs(Document):
    """What a run was given, by name."""

    data: str
    pool: str | None
    weights: str | None


class Resolved(Document):
    """`recipe/resolved.json`; recipe and profile are checked by their own models."""

    kind: str
    recipe: dict[str, Any]
    profile: dict[str, Any]
    seed: int
    data_fingerprint: str
    pool_fingerprint: Sha256
    weights_sha256: Sha256 | None
    processes: Annotated[int, Field(ge=1, le=100_000)] = 1
    kit: str
    inputs: Inputs


class Compute(Document):
    """How sums were computed: what decides, beside the versions, whether counts come out the same."""

    threads: Annotated[int, Field(ge=1, le=4096)]
    cpu_capability: Annotated[str, Field(pattern=r"^[\w ]{1,20}$")]
    device: Annotated[str, Field(pattern=r"^[\w .()/+-]{1,60}$")]


class Environment(Document):
    """`provenance/environment.json`."""

    python: Annotated[str, Field(pattern=r"^3\.\d+\.\d+\S{0,12}$")]
    implementation: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    system: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    machine: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    byteorder: Annotated[str, Field(pattern="^(little|big)$")]
    packages: dict[str, Annotated[str, Field(pattern=r"^\d[\w.+!-]{0,60}$")]]
    compute: Compute | None = None


EVALUATION: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)


def typed(kind: type[T], value: object, source: str) -> T:
    """`value` as a document. Raises `StorageError` naming the first keys that are wrong."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise StorageError(f"{source}: {explain(error)}") from error


def modelled(kind: type[M], value: object, source: str) -> M:
    """A document that has a model of its own: a recipe or a profile. Raises `StorageError` like `typed`."""
    try:
        return kind.model_validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        raise StorageError(f"{source}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first problems of a document in one line."""
    problems = error.errors(include_url=False, include_input=False)
    shown = [f"{'.'.join(map(str, problem['loc'])) or 'the document'}: {problem['msg']}" for problem in problems[:SHOWN]]
    return "; ".join(shown) + (f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else "")
