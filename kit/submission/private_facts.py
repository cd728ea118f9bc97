"""What a run recorded, as it goes into an archive: nothing that names a person, a machine or a place on its disk."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from kit.events import UnknownEvent, from_line
from kit.recipe import Profile, to_toml
from kit.submission import layout

ENVIRONMENT_KEYS = ("python", "implementation", "system", "machine", "byteorder", "packages", "compute")
RESOLVED_KEYS = (
    "kind", "recipe", "profile", "seed", "data_fingerprint", "data_source", "classes", "pool_fingerprint",
    "weights_sha256", "processes", "kit", "inputs",
)  # fmt: skip
INPUT_KEYS = ("data", "pool", "weights")
HIDDEN = "(path)"

# A path of at least two parts, or one in a home folder, where a word starts: not `http://host/...`, not `a/b`.
_START = r"(?:(?<=^)|(?<=[\s\"'=:(\[,;<>|`!]))"
_PATH = r"~[\w.-]*/|[A-Za-z]:\\|\\\\\w|/(?:[\w.+@~-]+/)+|/(?:home|root|tmp|Users)\b"
ABSOLUTE_PATH = re.compile(rf"{_START}(?:{_PATH})[^\s\"',;:)\]<>|`]*", re.MULTILINE)
# What every system has, and what therefore says nothing about one.
COMMON_PATHS = frozenset({"/dev/null", "/usr/bin/env", "/bin/sh"})


def clean_events(lines: Iterable[bytes | str]) -> Iterator[bytes]:
    """The lines of an `events.jsonl` without process ids and places, torn lines, and what only other versions have."""
    for line in lines:
        event = from_line(line)
        if event is None or isinstance(event, UnknownEvent):
            continue
        known = ("kind", *event.__dataclass_fields__)
        told = json.loads(line if isinstance(line, str) else line.decode("utf-8", "replace"))
        content = {name: value for name, value in told.items() if name in known}
        if "pid" in content:
            content["pid"] = 0
        if "predictions" in content:
            content["predictions"] = PurePath(content["predictions"]).name
        yield layout.dump_line(_scrub(content))


def clean_environment(environment: dict[str, Any]) -> dict[str, Any]:
    """Versions and platform of a run's `environment.json`, and nothing else that it may hold."""
    return {key: _scrub(environment[key]) for key in ENVIRONMENT_KEYS if key in environment}


def clean_resolved(resolved: dict[str, Any]) -> dict[str, Any]:
    """A run's `resolved.json` with the names of its inputs instead of their places."""
    inputs = resolved.get("inputs") or {}
    named = {key: None if inputs.get(key) is None else _input_name(key, str(inputs[key])) for key in INPUT_KEYS}
    return {key: named if key == "inputs" else resolved[key] for key in RESOLVED_KEYS if key in resolved}


def clean_profile(profile: Profile) -> bytes:
    """`recipe/profile.toml`: every setting, and the data's name without its place."""
    return to_toml(profile.model_copy(update={"data": clean_data_spec(profile.data)})).encode()


def clean_data_spec(spec: str) -> str:
    """A data spec without the folder behind its name: `torch/fashion_mnist:/path` is `torch/fashion_mnist`."""
    return spec.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Private:
    """Something that names a person, a machine or a place; a text without any of the lower-case `signs` is not searched."""

    what: str
    signs: tuple[str, ...]
    pattern: re.Pattern[str]


# Keys and words that this kit never writes, each narrow enough not to match a code, a version or a hash.
PRIVATE = (
    Private("an absolute path", ("/", "\\", "~"), ABSOLUTE_PATH),
    Private(
        "a user's name",
        ("user", "login", '"home', '"owner', "author", "logname"),
        re.compile(r"(?i)\"(?:user|user_?name|login|home|owner|author_?email)\"\s*:|\b(?:LOGNAME|USERNAME|USER)="),
    ),
    Private(
        "a host's name",
        ("host", '"node', '"fqdn', '"ip"', ".local", ".lan", ".internal", ".intranet", ".corp"),
        re.compile(
            r"(?i)\"(?:host|host_?name|node|node_?name|fqdn|ip)\"\s*:|\bHOSTNAME="
            r"|\b[a-z0-9-]+\.(?:local|localdomain|lan|internal|intranet|corp)\b"
        ),
    ),
    Private("an address", ("@",), re.compile(r"(?i)\b[a-z0-9._%+-]{1,64}@[a-z][a-z0-9.-]*[a-z0-9]\b")),
    Private(
        "an address",
        ("10.", "127.", "192.168.", "172."),
        re.compile(r"(?<![\d.])(?:(?:10|127)\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}(?![\d.])"),
    ),
    Private(
        "a secret",
        ("private key", "akia", "asia", "gh", "hf_", "xox", "sk-", "eyj"),
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}"
            r"|\bgithub_pat_\w{30,}|\bhf_[A-Za-z0-9]{30,}|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}"
            r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
        ),
    ),
    Private(
        "a secret",
        ("passw", "secret", "key", "token"),
        re.compile(
            r"(?i)\b\w{0,20}(?:password|passwd|secret|api_?key|access_?token|auth_?token)\w{0,20}[\"']?\s*[=:]\s*[\"']?[^\s\"'$]{4}"
        ),
    ),
)


def find_private(text: str) -> Iterator[tuple[str, str]]:
    """What in a text names a person, a machine or a place, or looks like a secret: (what, the words)."""
    lowered = text.lower()
    for private in PRIVATE:
        if any(sign in lowered for sign in private.signs):
            for match in private.pattern.finditer(text):
                if match[0].rstrip(".") not in COMMON_PATHS:
                    yield private.what, match[0]


def _input_name(key: str, value: str) -> str:
    return clean_data_spec(value) if key == "data" else PurePath(value).name


def _scrub(value: Any) -> Any:
    """Any JSON value with the places in its texts hidden."""
    if isinstance(value, str):
        return ABSOLUTE_PATH.sub(lambda match: match[0] if match[0] in COMMON_PATHS else HIDDEN, value)
    if isinstance(value, dict):
        return {key: _scrub(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(inner) for inner in value]
    return value
