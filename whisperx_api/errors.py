"""What stops the service, or an engine, from starting."""


class StartError(Exception):
    """The service can't start. The message is one sentence that says what to change."""


class DeviceUnavailable(Exception):
    """A device can't be computed on. The message is a sentence that says what to change."""
