"""The id of a request, as AWS writes it."""


def request_uuid(number: str) -> str:
    """Return the id of a request in the form that AWS gives it; both its halves are the id in the log."""
    prefix, _, rest = number.partition("-")
    return f"{prefix:0>8}-0000-4000-8000-{rest:0>12}"
