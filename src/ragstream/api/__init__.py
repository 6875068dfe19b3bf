"""The HTTP edge: routes, schemas, problem details and the page."""
