"""Weight gradients."""
