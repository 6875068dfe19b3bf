"""Whom to ask for an answer, who is left if that fails, and what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragstream.llm.base import Provider

__all__ = ["Offer", "Route", "preferred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A provider that may be asked next."""

    provider: Provider
    model: str | None  # what it is asked for; None: its own
    cost: float | None  # of the next call, about; None: its price is not known, or there is no budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The offers in order: the first is taken, the others may take over."""

    offers: tuple[Offer, ...]
    budget: float | None = None  # what is left for this answer; None: there is none

    @property
    def first(self) -> Offer:
        """Whom to ask."""
        return self.offers[0]

    @property
    def costs(self) -> list[float | None]:
        """What the offers cost."""
        return [offer.cost for offer in self.offers]

    @property
    def providers(self) -> list[Provider]:
        """Who offers."""
        return [offer.provider for offer in self.offers]


def preferred(providers: Sequence[Provider], model: str | None) -> Provider:
    """Return the first provider that has the model asked for, else the first of all."""
    return next((one for one in providers if one.model == model), providers[0])
