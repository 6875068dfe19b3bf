from __future__ import annotations

from ragstream.answer.sentences import sentences

PAGE = """\
# Settings

Ragstream reads its settings from the **environment**, see [the list](list.md). Each has a
default, e.g. `RAGSTREAM_PORT` is 8000. ![logo](logo.png)

> Quoted *words* stay, as [12] and [3, 4] do not.

## Table

| Setting | Meaning |
|---------|---------|
| `RAGSTREAM_PORT` | the port; 8000 |

Steps
-----

Start it like this:

```sh
ragstream serve x[1]
```

Two things are needed:

1. a folder
2. a port

Then:

That is <b>all</b> &amp; no more
- [x] an item. With two sentences.
"""


def test_a_page_becomes_whole_clean_sentences() -> None:
    assert [(one.heading, one.text, one.tail) for one in sentences(PAGE)] == [
        ("Settings", "Ragstream reads its settings from the environment, see the list.", ""),
        ("Settings", "Each has a default, e.g. `RAGSTREAM_PORT` is 8000.", ""),
        ("Settings", "Quoted words stay, as and do not.", ""),
        ("Settings / Table", "`RAGSTREAM_PORT`: the port; 8000", ""),
        ("Settings / Steps", "Start it like this:", "```sh\nragstream serve x[1]\n```"),
        ("Settings / Steps", "Two things are needed:", "1. a folder\n2. a port"),
        ("Settings / Steps", "That is all & no more", ""),
        ("Settings / Steps", "an item.", ""),
        ("Settings / Steps", "With two sentences.", ""),
    ]


def test_what_stands_together_shares_a_block() -> None:
    first, second, third = sentences("One thing. Another thing.\n\nA third.")
    assert first.block == second.block != third.block


def test_wrapped_lines_are_joined_and_abbreviations_end_nothing() -> None:
    text = (
        "Dr. Who met J. R. Smith,\ni.e. the other one, at 3.5 km. "
        "\u201cHe left.\u201d Nobody saw it! (Or did they?)"
    )
    assert [one.text for one in sentences(text)] == [
        "Dr. Who met J. R. Smith, i.e. the other one, at 3.5 km.",
        "\u201cHe left.\u201d",
        "Nobody saw it!",
        "(Or did they?)",
    ]


def test_chinese_sentences_need_no_space() -> None:
    assert [one.text for one in sentences("日志保存一天。可以更改!真的吗\uff1f是。")] == [
        "日志保存一天。",
        "可以更改!真的吗\uff1f",
        "是。",
    ]


def test_the_rest_of_a_cut_sentence_is_left_out() -> None:
    assert [one.text for one in sentences("of the last one. A whole one.", cut=True)] == ["A whole one."]
    assert len(sentences("of the last one. A whole one.")) == 2


def test_a_long_list_is_not_a_tail_and_its_announcement_goes() -> None:
    text = "Many things:\n" + "".join(f"- item {number} {'word ' * 20}\n" for number in range(9))
    found = sentences(text)
    assert [one.text.split(" word")[0] for one in found] == [f"item {number}" for number in range(9)]


def test_nothing_gives_nothing() -> None:
    assert (
        sentences("") == sentences("\n# Only a heading\n\n---\n") == sentences("```\ncode alone\n```") == []
    )


def test_a_link_around_code_leaves_the_code() -> None:
    [sentence] = sentences("See [`serve`](cli.md#serve), not `[a](b)`.")
    assert sentence.text == "See `serve`, not `[a](b)`."
