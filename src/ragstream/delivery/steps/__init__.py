"""The steps of the request lane, a module for each stretch of it."""

from ragstream.delivery.steps import admission, collecting, following, generation, sending, setup

__all__ = ["MODULES"]

MODULES = (admission, setup, generation, following, sending, collecting)
