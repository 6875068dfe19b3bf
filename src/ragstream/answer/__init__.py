"""The answer lane: from one question to its stored ending."""
