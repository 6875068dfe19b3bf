"""The headings of Markdown."""

from __future__ import annotations

import pytest

from ragstream.knowledge._markdown import headings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\n## Two ##\n###### Six", [(1, "One"), (2, "Two"), (6, "Six")]),
        ("Title\n=====\n\nPart\n---\n", [(1, "Title"), (2, "Part")]),
        ("#hashtag\n\n####### seven\n\n    # code\n", []),
        ("```sh\n# comment\n```\n# After\n", [(1, "After")]),
        ("~~~\n# a\n```\n# b\n~~~\n# After\n", [(1, "After")]),
        ("```inline``` code\n# After\n", [(1, "After")]),
        ("---\ntitle: x\n---\n# After\n", [(1, "After")]),
        ("- item\n---\n\n| a |\n---\n", []),
        (
            "# [Link](http://x) and `code` **bold** snake_case {#anchor}\n",
            [(1, "Link and code bold snake_case")],
        ),
        ("#\n# \n##  ##\n", []),
        ("   # Indented\n", [(1, "Indented")]),
    ],
)
def test_headings_are_found(text: str, expected: list[tuple[int, str]]) -> None:
    assert [(heading.level, heading.text) for heading in headings(text)] == expected


def test_a_heading_says_where_it_stands() -> None:
    text = "intro\n\nTitle\n===\nbody\n## Next\n"
    title, following = headings(text)
    assert text[title.start : title.end] == "Title\n===\n"
    assert text[following.start : following.end] == "## Next\n"
