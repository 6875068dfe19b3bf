"""Code that never heard of us: ranking, confidence, evidence, and what is called missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragstream.audit.calibration import BUILT, RIGHT, SURE, THERE, Rank, confidences, fit, observations
from ragstream.audit.cases import load_cases
from ragstream.audit.ranking import Index
from ragstream.audit.report import Account, Status
from ragstream.audit.search import search_code
from ragstream.audit.sketch import read_any
from ragstream.audit.source import modules
from ragstream.errors import ConfigError

DRAWN = """flowchart TD
  Search[Search the knowledge base] --> Prompt[Build the prompt]
  Prompt --> Moderate{Moderate the question?}
  Moderate -->|yes| Cache[Cache the answer]
"""

FILES = {
    "shop/knowledge.py": '''
class KnowledgeBase:
    def search(self, query):
        """Search the knowledge base for what fits the query."""
        return self.index.query(query)
''',
    "shop/prompts.py": """
TEMPLATE = "Answer this."
def build_prompt(question, passages):
    return TEMPLATE + question
""",
    "shop/unused.py": '''
def cache_answer(answer):
    """Cache the answer for the next who asks."""
''',
    "shop/app.py": """
from shop.knowledge import KnowledgeBase
from shop.prompts import build_prompt
def main(question):
    return build_prompt(question, KnowledgeBase().search(question))
""",
    "tests/test_moderation.py": "def moderate_question(): return 1\n",
}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "shop/unused.py").write_text(FILES["shop/unused.py"] + "    return store(answer)\n")
    return tmp_path


@pytest.fixture
def found(code: Path) -> dict[str, Account]:
    return {account.node.id: account for account in search_code(read_any(DRAWN), code)}


def test_what_is_there_is_found_with_its_evidence(found: dict[str, Account]) -> None:
    search = found["Search"]
    assert search.status is Status.IMPLEMENTED
    first = search.candidates[0]
    assert (first.file, first.line, first.symbol) == ("shop/knowledge.py", 3, "KnowledgeBase.search")
    assert first.score == search.confidence >= SURE
    assert "name `search` (line 3)" in first.evidence
    assert "docstring `Search the knowledge base for what fits the query.` (line 4)" in first.evidence
    assert found["Prompt"].candidates[0].symbol == "build_prompt"


def test_what_nothing_does_is_missing_and_not_its_nearest_neighbour(found: dict[str, Account]) -> None:
    moderate = found["Moderate"]
    assert (moderate.status, moderate.candidates) == (Status.MISSING, ())
    assert moderate.confidence > 1 - THERE
    assert moderate.differences == ("Nothing in the code comes near to this step.",)
    assert not any(task.done for task in moderate.tasks)


def test_what_no_code_uses_is_not_wired(found: dict[str, Account]) -> None:
    assert found["Cache"].status is Status.NOT_WIRED
    assert found["Cache"].differences == ("`cache_answer` looks like it, but no code uses its name.",)


def test_one_file_is_code_too(code: Path) -> None:
    accounts = search_code(read_any(DRAWN), code / "shop/prompts.py")
    assert accounts[1].candidates[0].file == "prompts.py"


def test_no_code_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Python file there"):
        search_code(read_any(DRAWN), tmp_path)


def test_words_in_a_name_weigh_more_than_in_text(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "def rerank(x): return x\ndef other(x):\n    y = 1\n    print('rerank')\n    return rerank(x)\n"
    )
    index = Index(["Rerank the passages"], modules(tmp_path))
    assert [hit.symbol for hit in index.best("Rerank the passages")] == ["rerank", "other"]
    first, second = index.best("Rerank the passages")
    assert 0 < second.score < first.score <= 1
    assert index.best("Rerank the passages", 1) == [first]


def test_scores_of_an_ideal_symbol_come_near_to_one(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'def moderate_question():\n    """Moderate the question."""\n    return 1\n'
    )
    (hit,) = Index(["Moderate the question"], modules(tmp_path)).best("Moderate the question")
    assert (hit.score, hit.named, hit.wired) == (1.0, 1.0, False)


def test_a_curve_is_fitted_to_what_is_true() -> None:
    truths = [(Rank(n / 100, 0.0), n > 50) for n in range(100)]
    curve = fit(truths)
    assert curve.at(Rank(0.9, 0.0)) > 0.7
    assert curve.at(Rank(0.1, 0.0)) < 0.3


def test_the_curves_are_those_of_the_labelled_cases() -> None:
    seen = list(observations())
    for curve, truths in (
        (RIGHT, [(each.rank, each.right) for each in seen]),
        (BUILT, [(each.rank, each.built) for each in seen]),
    ):
        promised = sum(curve.at(rank) for rank, _ in truths) / len(truths)
        assert promised == pytest.approx(sum(true for _, true in truths) / len(truths), abs=0.05)
    sure = [each.right for each in seen if RIGHT.at(each.rank) >= SURE]
    assert sum(sure) / len(sure) > 0.85
    absent = [BUILT.at(each.rank) < THERE for each in seen if not each.built]
    assert sum(absent) / len(absent) > 0.4


def test_nothing_is_certain_of_nothing() -> None:
    assert confidences([]) == []


def test_every_label_of_the_cases_is_of_their_code() -> None:
    for case in load_cases():
        symbols = {(symbol.file, symbol.name) for module in case.code for symbol in module.symbols}
        assert case.labels.keys() <= {node.id for node in case.diagram.nodes}, case.name
        assert {label for label in case.labels.values() if label} <= symbols, case.name
