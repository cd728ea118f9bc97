"""What an archive is made of, as CycloneDX: packages, the kit, every file with its hash; no clock, no chance."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SPEC_VERSION = "1.6"
MODEL_SUFFIXES = (".safetensors", ".onnx")
PLATFORM = ("python", "implementation", "system", "machine", "byteorder")


def make_sbom(environment: Mapping[str, Any], hashes: Mapping[str, str], *, kit: str) -> dict[str, Any]:
    """The bill of materials of a cleaned `environment.json` and of files by path and SHA-256.

    Without time stamp and serial number, which CycloneDX leaves optional: the same archive has the same bill.
    """
    packages = [_package(name, str(version)) for name, version in sorted(environment.get("packages", {}).items())]
    files = [_file(path, sha256) for path, sha256 in sorted(hashes.items())]
    root = {
        "type": "application",
        "bom-ref": "kit",
        "name": "kit",
        "version": kit,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    facts = {key: environment[key] for key in PLATFORM if key in environment} | dict(environment.get("compute", {}))
    platform = [{"name": f"kit:{key}", "value": str(value)} for key, value in facts.items()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {"component": root, "properties": platform},
        "components": [*packages, *files],
        "dependencies": [{"ref": "kit", "dependsOn": [package["bom-ref"] for package in packages]}],
    }


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name.lower(), safe='')}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _file(path: str, sha256: str) -> dict[str, Any]:
    kind = "machine-learning-model" if path.endswith(MODEL_SUFFIXES) else "file"
    return {"type": kind, "bom-ref": f"file:{path}", "name": path, "hashes": [{"alg": "SHA-256", "content": sha256}]}
