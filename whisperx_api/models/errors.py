"""What can be wrong with a model, said in a sentence a user can act on."""


class ModelUnavailable(Exception):
    """A model is not on this machine and can't be fetched. The message says what to do about it."""
