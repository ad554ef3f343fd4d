"""Nothing leads back to a damaged value."""

from protocol.errors import EntrepotError


class Lost(EntrepotError):
    """It cannot be mended, or not now; the message says why and, for people, what to do.

    Args:
        reason: for people.
        may_come: a later try may find what this one lacked.
        is_nobodys: nothing here knows of such a key; so it was another one, and this row may go.
    """

    def __init__(self, reason: str, *, may_come: bool = False, is_nobodys: bool = False) -> None:
        super().__init__(reason)
        self.may_come = may_come
        self.is_nobodys = is_nobodys
