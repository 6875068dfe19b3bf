"""The relational store: sessions and their turns."""
