"""A registry's replicas in memory: each applies records through the merges, as a store would."""

from dataclasses import dataclass, field
from typing import TypeVar

from protocol.oci.digest import Digest, digest_of
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import Clock
from protocol.sync.entries import (
    Entry,
    ImageDelete,
    ImageKey,
    ImagePut,
    ImageValue,
    RegisterPut,
    RepositoryDelete,
    RepositoryKey,
    RepositoryPut,
    RepositoryValue,
    TagKey,
    TagPut,
    Unknown,
)
from protocol.sync.images import ImageState, bury_image, merge_image, seen_dots
from protocol.sync.record import FIRST, VERSION, Record
from protocol.sync.repositories import RepositoryState, delete_of, merge_repository, note_life
from protocol.sync.tags import TagConflict, TagDot, TagState, bury_tag, merge_tag, next_tag_value, tag_delete_of
from protocol.sync.vector import Dot, is_dead, vector

NAME, TAG = RepositoryName("app"), TagName("latest")
IMAGES = [digest_of(b"%d" % n) for n in range(2)]
INCARNATION = bytes(16)

Row = TypeVar("Row")


@dataclass
class State:
    """What records come to. Rows as a store has them: none where there is nothing to remember."""

    repositories: dict[str, RepositoryState] = field(default_factory=dict)
    images: dict[tuple[str, str], ImageState] = field(default_factory=dict)
    tags: dict[tuple[str, str], TagState] = field(default_factory=dict)
    history: dict[tuple[str, str], set[TagDot]] = field(default_factory=dict)

    def rows(self) -> list[tuple[object, RepositoryState | ImageState | TagState]]:
        return [*self.repositories.items(), *self.images.items(), *self.tags.items()]

    def copy(self) -> "State":
        return State(dict(self.repositories), dict(self.images), dict(self.tags))

    def apply(self, record: Record) -> list[TagConflict]:
        return [fact for entry in record.entries for fact in self._apply(record, entry)]

    def _apply(self, record: Record, entry: Entry) -> list[TagConflict]:
        assert not isinstance(entry, RegisterPut | Unknown)
        name, dot, hlc = entry.key.repository, record.dot, record.hlc
        repository = self.repositories.get(name)
        if isinstance(entry, RepositoryPut | RepositoryDelete):
            self.repositories[name] = merge_repository(repository, entry, dot, hlc)
            if isinstance(entry, RepositoryDelete):
                self._bury(name)
            return []
        repository = self.repositories[name] = note_life(repository, entry.key.life)
        if isinstance(entry, ImagePut | ImageDelete):
            image = name, entry.key.digest
            _set(self.images, image, merge_image(self.images.get(image), entry, dot, hlc, repository.dead))
            return []
        where = name, entry.key.tag
        merged = merge_tag(self.tags.get(where), entry, dot, hlc, repository.dead)
        _set(self.tags, where, merged.state)
        if merged.lost:
            self.history.setdefault(where, set()).update(merged.lost)
        return [merged.conflict] if merged.conflict else []

    def _bury(self, name: str) -> None:
        dead = self.repositories[name].dead
        for where in [where for where in self.images if where[0] == name]:
            _set(self.images, where, bury_image(self.images[where], dead))
        for where in [where for where in self.tags if where[0] == name]:
            _set(self.tags, where, bury_tag(self.tags[where], dead))
        for where in [where for where in self.history if where[0] == name]:
            _set(self.history, where, {one for one in self.history[where] if not is_dead(one, dead)} or None)


def _set(rows: dict[tuple[str, str], Row], key: tuple[str, str], row: Row | None) -> None:
    if row is None:
        rows.pop(key, None)
    else:
        rows[key] = row


@dataclass
class Written:
    """A record, all that its writer had seen when it wrote it, and what it had right after."""

    record: Record
    seen: frozenset[Dot]
    after: State


@dataclass
class Node:
    """A replica, and what its users do at it."""

    name: str
    skew: float = 0.0  # Seconds that its wall clock is wrong by.
    state: State = field(default_factory=State)
    clock: Clock = field(default_factory=Clock)
    journal: list[Written] = field(default_factory=list)
    seen: set[Dot] = field(default_factory=set)

    def take(self, record: Record, now: float) -> None:
        """Take a record of another node."""
        assert self.clock.observe(record.hlc, now + self.skew)
        self.state.apply(record)
        self.seen.add(record.dot)

    def put_settings(self, name: RepositoryName, value: str, now: float) -> None:
        settings = {"mutability": value} if value else {}
        self._write([RepositoryPut(RepositoryKey(name), RepositoryValue(self._life(name), dict(settings)))], now)

    def delete_repository(self, name: RepositoryName, now: float) -> None:
        if name in self.state.repositories:
            entry = delete_of(self.state.repositories[name], RepositoryKey(name), vector(list(self.seen)))
            self._write([entry], now)

    def push(self, name: RepositoryName, image: Digest, tags: list[TagName], frozen: bool, now: float) -> None:
        hlc, dot, life = self.clock.stamp(now + self.skew), self._next(), self._life(name)
        entries: list[Entry] = [ImagePut(ImageKey(name, life, image), image_value(image))]
        for tag in tags:
            state = self.state.tags.get((name, tag))
            value = next_tag_value(state, image, hlc=hlc, node=self.name, frozen=frozen, by="me", dot=dot)
            entries.append(TagPut(TagKey(name, life, tag), value))
        self._write(entries, now, hlc)

    def delete_image(self, name: RepositoryName, image: Digest, now: float) -> None:
        state = self.state.images.get((name, image))
        if state is not None and state.dots:
            self._write([ImageDelete(ImageKey(name, self._life(name), image), seen_dots(state))], now)

    def delete_tag(self, name: RepositoryName, tag: TagName, now: float) -> None:
        value = tag_delete_of(self.state.tags.get((name, tag)), by="me", dot=self._next())
        if value is not None:
            self._write([TagPut(TagKey(name, self._life(name), tag), value)], now)

    def _life(self, name: RepositoryName) -> int:
        return note_life(self.state.repositories.get(name), 1).life

    def _next(self) -> Dot:
        return Dot(self.name, INCARNATION, len(self.journal) + 1)

    def _write(self, entries: list[Entry], now: float, hlc: int | None = None) -> None:
        stamp = self.clock.stamp(now + self.skew) if hlc is None else hlc
        dot = self._next()
        record = Record(
            VERSION, "111111111111/eu-west-1", dot.node, dot.incarnation, dot.seq, FIRST, stamp, tuple(entries)
        )
        self.state.apply(record)
        self.journal.append(Written(record, frozenset(self.seen), self.state.copy()))
        self.seen.add(dot)


def image_value(image: Digest) -> ImageValue:
    return ImageValue(0, "application/vnd.oci.image.manifest.v1+json", 2, bytes(32), subject=image)
