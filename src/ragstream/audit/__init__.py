"""The blueprint audits itself: what is drawn, what is built, and what tests have shown of it."""
