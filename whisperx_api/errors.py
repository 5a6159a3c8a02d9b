"""What stops the service from starting."""


class StartError(Exception):
    """The service can't start. The message is one sentence that says what to change."""
