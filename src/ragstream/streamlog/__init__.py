"""The stream log: every event of every answer, numbered, before any reader sees it."""
