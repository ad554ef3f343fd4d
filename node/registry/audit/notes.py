"""What is to be written down: reads and refusals, collected for a second, those that are alike as one with a count.

Alike are requests of one caller from one address for one action on one resource with one result. There may be many
of them that differ, and strangers choose how: beyond ``MAX_NOTES`` in a second, and a few dozen of those whom nobody
knows, what they were about is left out, and they are counted by caller, action and result alone. So a flood of
requests costs some kilobytes a second, and pushes nothing out of the audit soon.

A change was written down with the record that it made (``writing``). The door that answers does not know which of its
requests did so: it asks by the request's id, ``is_written``.
"""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.auth.audit import OK
from protocol.auth.caller import Caller
from protocol.auth.public import action_on
from protocol.errors import Denied, Refusal, SignatureMissing

MAX_NOTES = 1000  # That differ, in one second.
MAX_OF_STRANGERS = 50  # The same, of callers who say nothing of who they are.
_MAX_WRITTEN = 4096  # Changes of which it is remembered that they are written down.

Key: TypeAlias = tuple[str, str, str, str, str]
"""Who, from where, action, resource, result."""


@dataclass(slots=True)
class Note:
    """Requests that are alike."""

    request: str  # Id of the first.
    count: int = 1


class Notes:
    """Collects; on the event loop's thread but for ``wrote``."""

    def __init__(self) -> None:
        self._notes: dict[Key, Note] = {}
        self._written: dict[tuple[str, str], None] = {}

    def note(self, caller: Caller, action: str, resource: str, result: str = OK) -> None:
        """Write this down within a second, unless the change was."""
        action = action_on(action, resource)  # The distribution API says what it is of a private repository.
        if result == OK and (caller.request, action) in self._written:
            del self._written[caller.request, action]
            return
        key = caller.arn, source_of(caller), action, resource, result
        note = self._notes.get(key)
        if note is None and len(self._notes) >= (MAX_NOTES if caller.account else MAX_OF_STRANGERS):
            key = caller.arn if caller.account else "*", "", action, "", result
            note = self._notes.get(key)
        if note is None:
            self._notes[key] = Note(caller.request)
        else:
            note.count += 1

    def refused(self, caller: Caller, action: str, resource: str, refusal: Refusal) -> None:
        """Write down within a second that *action* was refused; a denial says itself what of it was."""
        if isinstance(refusal, SignatureMissing):
            return  # A client asks without credentials first, to be told how to log in.
        if isinstance(refusal, Denied) and refusal.action:
            action, resource = refusal.action, refusal.resource
        self.note(caller, action, resource, refusal.ecr)

    def wrote(self, request: str, action: str) -> None:
        """Take note that a change is written down with its record; on the writer's thread."""
        if request:
            while len(self._written) >= _MAX_WRITTEN:
                self._written.pop(next(iter(self._written)), None)
            self._written[request, action] = None

    def take(self) -> dict[Key, Note]:
        """Return what is to be written down, and begin anew."""
        notes, self._notes = self._notes, {}
        return notes

    def put_back(self, notes: dict[Key, Note]) -> None:
        """Take back what could not be written; the next second tries again."""
        for key, note in notes.items():
            known = self._notes.get(key)
            if known is not None:
                known.count += note.count
            elif len(self._notes) < MAX_NOTES:
                self._notes[key] = note


def stranger(address: str, request: str) -> Caller:
    """Return who sends what nobody can be told by."""
    return Caller("*", "", address, request)


def source_of(caller: Caller) -> str:
    """Return where a caller is: an address, or the name of the node that it is."""
    return caller.address or (caller.user_name if not caller.user_id else "")
