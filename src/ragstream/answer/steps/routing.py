"""Which provider is asked, within the budget of the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from ragstream.answer.kit import AnswerKit
from ragstream.answer.route import Offer, Route, preferred
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.llm.base import Provider
from ragstream.llm.policy import affordable, check_budget

__all__ = ["cost_within_budget", "fail_over", "quoted", "select_provider", "take_cheaper"]


@step("SelectProvider")
async def select_provider(turn: Turn, kit: AnswerKit) -> None:
    """Take the first provider that has the model asked for, else the preferred one."""
    first = preferred(kit.llm.providers, turn.question.model)
    turn.route = quoted(turn, kit, first, kit.llm.providers)
    turn.note(provider=first.name, providers=len(turn.route.offers))


@step("CostCheck")
def cost_within_budget(turn: Turn) -> Literal["yes", "cheaper", "no"]:
    """Decide whether the next call may be made, or whether a cheaper one may."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    first, *others = turn.route.costs
    return check_budget(first, others, turn.route.budget)


@step("CheaperProvider")
async def take_cheaper(turn: Turn, _kit: AnswerKit) -> None:
    """Take the first provider that the budget allows; who was too dear is still left."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    offers, place = turn.route.offers, affordable(turn.route.costs, turn.route.budget) or 0
    reordered = (offers[place], *offers[:place], *offers[place + 1 :])
    turn.route = replace(turn.route, offers=reordered)
    turn.note(provider=turn.route.first.provider.name)


@step("FailoverProvider")
async def fail_over(turn: Turn, kit: AnswerKit) -> None:
    """Take the next provider; who failed is not asked again in this round."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    _, *left = turn.route.providers
    turn.route = quoted(turn, kit, left[0], left)
    turn.note(provider=left[0].name)


def quoted(turn: Turn, kit: AnswerKit, first: Provider, others: Iterable[Provider]) -> Route:
    """Return the route that begins with ``first`` and has the others in their order."""
    order = (first, *(one for one in others if one is not first))
    budget = kit.llm.budget
    if budget is not None and turn.usage is not None:
        budget -= turn.usage.cost or 0.0
    return Route(offers=tuple(_offer(turn, kit, provider) for provider in order), budget=budget)


def _offer(turn: Turn, kit: AnswerKit, provider: Provider) -> Offer:
    asked = turn.question.model
    if provider.model and provider is not preferred(kit.llm.providers, asked):
        asked = None  # the model is another provider's
    cost = None if kit.llm.budget is None else kit.llm.estimate(provider, turn.request(asked))
    return Offer(provider=provider, model=asked, cost=cost)
