"""The answer lane: from one question to its stored ending."""

from ragstream.answer.extractive import ExtractiveAnswerer
from ragstream.answer.kit import AnswerKit, AnswerSettings, Meter
from ragstream.answer.run import LaneAnswerer
from ragstream.answer.steps import MODULES

__all__ = ["MODULES", "AnswerKit", "AnswerSettings", "ExtractiveAnswerer", "LaneAnswerer", "Meter"]
