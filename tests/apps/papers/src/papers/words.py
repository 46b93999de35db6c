"""The command ``papers-words``."""

from .texts import all_texts, text_of


def main() -> None:
    for name in all_texts():
        print(name, len((text_of(name) or "").split()))
