"""The groups of a channel that some clients hold on scoped routes, found by what an item is for."""

from collections.abc import Collection, Iterable

from realtime_proxy.channels.group import Group
from realtime_proxy.channels.scope import FOR_ALL, Scope, scopes_of
from realtime_proxy.model.item import Item
from realtime_proxy.wire.encodings import WireForm

# Groups in the order in which they came; an item finds each once.
_Groups = dict[Group, None]


class ScopedGroups:
    """All groups of one channel. An item for one scope does not touch those of the others."""

    __slots__ = ("_claims", "_counting", "_open")

    def __init__(self, groups: Iterable[Group]) -> None:
        self._open: _Groups = {}  # of routes that have no scopes
        self._claims: dict[str, _OfClaim] = {}
        self._counting: _Groups = {}  # scoped, and go by ids: they hear of each item
        for group in groups:
            self.add(group)

    @property
    def has_scopes(self) -> bool:
        """False if these are groups as everywhere."""
        return bool(self._claims)

    def add(self, group: Group) -> None:
        """A group that is new."""
        scope = group.scope
        if scope is None:
            self._open[group] = None
            return
        self._claims.setdefault(scope.claim, _OfClaim()).add(group, scope)
        if _counts(group):
            self._counting[group] = None

    def discard(self, group: Group) -> None:
        """A group that is gone."""
        scope = group.scope
        if scope is None:
            del self._open[group]
            return
        of_claim = self._claims[scope.claim]
        of_claim.discard(group, scope)
        if not of_claim.all:
            del self._claims[scope.claim]
        self._counting.pop(group, None)

    def groups_for(self, item: Item) -> list[Group]:
        """Those whose members may have an item."""
        found = dict(self._open)
        for claim, of_claim in self._claims.items():
            found.update(of_claim.groups_for(item.meta.get(claim)))
        return list(found)

    def bystanders(self, item: Item) -> Collection[Group]:
        """Those who may not have an item, but go by the ids of all of their form."""
        if not self._counting:
            return ()
        concerned = set(self.groups_for(item))
        return [
            group
            for group in self._counting
            if group not in concerned and _counts(group) and group.form.concerns(item)
        ]

    def missing_scope(self, item: Item) -> str:
        """The claim of which an item would have to say something; empty if all is said."""
        missing = (
            claim
            for claim, of_claim in self._claims.items()
            if claim not in item.meta and len(of_claim.named) < len(of_claim.all)
        )
        return next(missing, "")


class _OfClaim:
    """The groups that are parted by one claim."""

    __slots__ = ("_by_value", "all", "named")

    def __init__(self) -> None:
        self._by_value: dict[str, _Groups] = {}
        self.named: _Groups = {}  # those of channels whose name says for whom they are
        self.all: _Groups = {}

    def add(self, group: Group, scope: Scope) -> None:
        self.all[group] = None
        if scope.is_named:
            self.named[group] = None
        for value in scope.values:
            self._by_value.setdefault(value, {})[group] = None

    def discard(self, group: Group, scope: Scope) -> None:
        del self.all[group]
        self.named.pop(group, None)
        for value in scope.values:
            groups = self._by_value[value]
            del groups[group]
            if not groups:
                del self._by_value[value]

    def groups_for(self, written: str | None) -> _Groups:
        """Those that have one of these values. An item that says nothing is for nobody."""
        if written is None:
            return self.named
        found: _Groups = {}
        for value in scopes_of(written):
            if value == FOR_ALL:
                return {group: None for groups in self._by_value.values() for group in groups}
            found.update(self._by_value.get(value, {}))
        return found


def _counts(group: Group) -> bool:
    return group.position is not None or group.form is WireForm.KEPT
