"""Print the page that draws the grammar of events.

python scripts/draw_grammar.py > docs/architecture/grammar.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ragstream.events import GRAMMAR, TERMINAL, EventType, Phase

HEAD = """\
# The grammar of events

Which event may follow which in one answer, drawn from the table in `src/ragstream/events/grammar.py` by
`scripts/draw_grammar.py`. An event without an arrow from a phase is illegal there: it raises `IllegalEvent`
and changes nothing.

"""
TAIL = f"""
*terminal* is any of {", ".join(f"`{event.value}`" for event in EventType if event in TERMINAL)}.
"""


def arrows() -> Iterator[str]:
    yield f"[*] --> {Phase.NEW.value}"
    for phase, row in GRAMMAR.items():
        for target in Phase:
            events = [event for event, after in row.items() if after is target]
            words = [event.value for event in EventType if event in events and event not in TERMINAL]
            if set(events) >= TERMINAL:
                words.append("terminal")
            if words:
                yield f"{phase.value} --> {target.value}: {', '.join(words)}"
    yield f"{Phase.ENDED.value} --> [*]"


def page() -> str:
    return "\n".join(
        [HEAD + "```mermaid", "stateDiagram-v2", *(f"  {arrow}" for arrow in arrows()), "```", TAIL]
    )


if __name__ == "__main__":
    sys.stdout.write(page())
