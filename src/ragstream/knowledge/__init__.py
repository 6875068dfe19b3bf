"""The knowledge base: parse, chunk, index, search."""
