"""Vector math of our own."""
