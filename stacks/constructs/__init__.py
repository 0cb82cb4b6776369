"""One reusable idea per file; the stacks compose them and write the grants between them."""
