"""What pydantic finds wrong with a value, in words that go on from the value's name: "must be a whole number"."""

from __future__ import annotations

from pydantic_core import ErrorDetails


def what_is_wrong(error: ErrorDetails) -> str:
    """Return what the value must be, without a full stop."""
    bound = next(iter(error.get("ctx", {}).values()), "")
    bound = f"{bound:g}" if isinstance(bound, float) else bound
    wording = {
        "missing": "is missing",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "is too large a number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be true or false",
        "date_from_datetime_parsing": "must be a date like 2027-01-31",
        "date_from_datetime_inexact": "must be a date like 2027-01-31",
        "enum": f"must be {bound}",
        "literal_error": f"must be {bound}",
        "greater_than": f"must be more than {bound}",
        "greater_than_equal": f"must be at least {bound}",
        "less_than_equal": f"must be at most {bound}",
        "string_too_short": f"must have at least {bound} characters",
        "string_too_long": f"must have at most {bound} characters",
        "string_pattern_mismatch": "has a form that it can't have",
    }
    return wording.get(error["type"], error["msg"].removeprefix("Value error, "))
