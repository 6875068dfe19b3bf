"""The request lane: from one HTTP request to its last byte."""
