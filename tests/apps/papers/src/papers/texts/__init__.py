"""The texts, found as data of the package wherever that is installed."""

from __future__ import annotations

from importlib.resources import files


def all_texts() -> list[str]:
    return sorted(file.name.removesuffix(".md") for file in files(__name__).iterdir() if file.name.endswith(".md"))


def text_of(name: str) -> str | None:
    file = files(__name__) / f"{name}.md"
    return file.read_text("utf-8") if name in all_texts() else None
