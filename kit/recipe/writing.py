"""Recipes and profiles back to TOML, so that what ran can be read, compared and run again."""

import json
from typing import Any

from pydantic import BaseModel


def to_toml(model: BaseModel) -> str:
    """A recipe or profile with every default spelled out; `load_recipe` and `load_profile` read it back."""
    lines: list[str] = []
    _write_table(model.model_dump(mode="json"), "", lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: dict[str, Any], prefix: str, lines: list[str]) -> None:
    nested = {key: value for key, value in table.items() if isinstance(value, dict) or _is_array_of_tables(value)}
    for key, value in table.items():
        if key not in nested and value is not None:
            lines.append(f"{key} = {inline(value)}")
    for key, value in nested.items():
        name = f"{prefix}{key}"
        for item in value if isinstance(value, list) else [value]:
            lines += ["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]"]
            _write_table(item, f"{name}.", lines)


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    # JSON's strings, booleans and numbers are TOML's too, but for surrogate pairs and a bare DEL; settings hold no nan.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
