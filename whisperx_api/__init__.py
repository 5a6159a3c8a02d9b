"""A self-hosted service that turns recordings into speaker-labelled transcripts."""

__version__ = "0.1.0"
