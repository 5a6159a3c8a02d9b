"""Builds the documents: what of them the code knows best is made from the code, and never kept."""
