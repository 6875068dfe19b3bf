"""The feeds lane: from a changed source to an advanced knowledge epoch."""
