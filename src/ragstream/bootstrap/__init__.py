"""The composition root: settings become concrete parts, parts become an app or a desk."""
