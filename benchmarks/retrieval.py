"""How well and how fast passages are found.

    python benchmarks/retrieval.py FOLDER [--scale CHUNKS]

FOLDER has the layout that BEIR made common: ``corpus.jsonl`` and ``queries.jsonl`` with id (or _id), title
and text, and ``qrels.tsv`` with query, document and grade. A document ranks by its best chunk. With
``--scale``, chunks are made from the corpus' sentences, and a question is timed beside a bare tantivy search:
the same terms in the same index, nothing before and nothing after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tantivy

from ragstream.knowledge import LocalKnowledge, Origin, ParsedDocument
from ragstream.knowledge.analyzer import question_terms
from ragstream.knowledge.chunking import CHUNK, cut
from ragstream.knowledge.reading import read

NDCG_AT_10 = 0.68
RECALL_AT_100 = 0.92
MOST = 2.0  # times a bare search
DEPTH = 600  # chunks looked at for 100 documents
PASSAGES = 12  # what an answer asks for


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--scale", type=int, default=0, metavar="CHUNKS")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as data:
        if given.scale:
            return asyncio.run(measure_cost(given.folder, Path(data), given.scale))
        return asyncio.run(measure_quality(given.folder, Path(data)))


async def measure_quality(folder: Path, data: Path) -> int:
    knowledge = LocalKnowledge(data)
    await knowledge.start()
    try:
        for document in rows(folder / "corpus.jsonl"):
            text = f"# {document['title']}\n\n{document['text']}\n"
            await knowledge.put(origin(document["id"]), read("document.md", text.encode()))
        await knowledge.catch_up()
        judged = grades(folder / "qrels.tsv")
        asked = {row["id"]: row["text"] for row in rows(folder / "queries.jsonl") if row["id"] in judged}
        gains, recalls = [], []
        for query, text in asked.items():
            passages = await knowledge.retrieve(text, limit=DEPTH)
            ranked = list(dict.fromkeys(passage.uri for passage in passages))[:100]
            gains.append(ndcg(ranked[:10], judged[query]))
            recalls.append(recall(ranked, judged[query]))
        size = await knowledge.size()
    finally:
        await knowledge.aclose()
    gain, found = statistics.mean(gains), statistics.mean(recalls)
    print(f"{size.documents} documents, {size.chunks} chunks, {len(gains)} questions")
    print(f"nDCG@10     {gain:.4f}  (at least {NDCG_AT_10})")
    print(f"recall@100  {found:.4f}  (at least {RECALL_AT_100})")
    return 0 if gain >= NDCG_AT_10 and found >= RECALL_AT_100 else 1


async def measure_cost(folder: Path, data: Path, chunks: int) -> int:
    knowledge = LocalKnowledge(data)
    await knowledge.start()
    try:
        made = 0
        for number, text in enumerate(synthetic(folder)):
            parsed = ParsedDocument(title="", media_type="text/plain", text=text, chunks=cut(text))
            await knowledge.put(origin(str(number)), parsed)
            made += len(parsed.chunks)
            if made >= chunks:
                break
        began = time.perf_counter()
        await knowledge.catch_up()
        print(f"the rest of the index took {time.perf_counter() - began:.1f} s")
        print(f"{(await knowledge.size()).chunks} chunks; milliseconds a question: mean, median, CPU")
        questions = [row["text"] for row in rows(folder / "queries.jsonl")]
        bare = bare_search(next((data / "index").iterdir()))
        prepared = [question_terms(question) for question in questions]
        for _ in range(2):  # the first round warms the caches
            search = measure(lambda number: bare(prepared[number]), len(questions))
            ours = await measure_async(knowledge, questions)
    finally:
        await knowledge.aclose()
    print("bare search  {:7.3f} {:7.3f} {:7.3f}".format(*search))
    print("retrieve     {:7.3f} {:7.3f} {:7.3f}".format(*ours))
    ratios = [mine / its for mine, its in zip(ours, search, strict=True)]
    print("times        {:7.2f} {:7.2f} {:7.2f}  (at most {})".format(*ratios, MOST))
    return 0 if ratios[0] <= MOST and ratios[2] <= MOST else 1


def bare_search(folder: Path) -> Callable[[list[str]], object]:
    index = tantivy.Index.open(str(folder))
    schema = index.schema

    def search(terms: list[str]) -> object:
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(schema, "body", term, "freq")) for term in terms
        ]
        return index.searcher().search(tantivy.Query.boolean_query(clauses), 10, count=False)

    return search


def measure(search: Callable[[int], object], count: int) -> tuple[float, float, float]:
    times, cpu = [], time.process_time()
    for number in range(count):
        began = time.perf_counter()
        search(number)
        times.append(time.perf_counter() - began)
    return in_milliseconds(times, time.process_time() - cpu)


async def measure_async(knowledge: LocalKnowledge, questions: list[str]) -> tuple[float, float, float]:
    times, cpu = [], time.process_time()
    for question in questions:
        began = time.perf_counter()
        await knowledge.retrieve(question, limit=PASSAGES)
        times.append(time.perf_counter() - began)
    return in_milliseconds(times, time.process_time() - cpu)


def in_milliseconds(times: list[float], cpu: float) -> tuple[float, float, float]:
    return statistics.mean(times) * 1e3, statistics.median(times) * 1e3, cpu / len(times) * 1e3


def synthetic(folder: Path) -> Iterator[str]:
    """Make documents of about ten chunks each from the corpus' sentences, without end."""
    texts = (row["text"] for row in rows(folder / "corpus.jsonl"))
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=\.) ", text)]
    chance = random.Random(1)  # noqa: S311 - the same text in each run
    while True:
        text = ""
        while len(text) < 9.5 * CHUNK:
            text += " ".join(chance.choices(sentences, k=8)) + "\n\n"
        yield text


def ndcg(ranked: list[str], grade: dict[str, int]) -> float:
    gain = sum(grade.get(document, 0) / math.log2(place + 2) for place, document in enumerate(ranked))
    best = sorted(grade.values(), reverse=True)[:10]
    return gain / sum(value / math.log2(place + 2) for place, value in enumerate(best))


def recall(ranked: list[str], grade: dict[str, int]) -> float:
    return len(grade.keys() & set(ranked)) / len(grade)


def grades(path: Path) -> dict[str, dict[str, int]]:
    """Return the relevant documents of each query."""
    judged: dict[str, dict[str, int]] = {}
    for line in path.read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            judged.setdefault(query, {})[document] = int(grade)
    return judged


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield {"title": "", **row, "id": str(row.get("id", row.get("_id")))}


def origin(name: str) -> Origin:
    return Origin(location=name, uri=name, content_hash=name)


if __name__ == "__main__":
    sys.exit(main())
