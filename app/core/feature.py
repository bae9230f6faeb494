"""What a folder of the application adds to it; `app/features.py` lists the folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Blueprint

    from app.admin.notices import NoticeSource
    from app.api.tags import ApiTag
    from app.auth.access import AccessKind, CredentialKind
    from app.auth.second_factors import FactorKind
    from app.auth.services.principals import Found
    from app.core.lookups import Source
    from app.core.retention import Erasure, Purge
    from app.jobs.services.schedule import Entry
    from app.unit_of_work import Work
    from app.users.promises import Promises
    from app.web.navigation import AdminPage, NavPage
    from app.web.parts import Part

V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What one folder adds, declared in its `feature.py`.

    Views, models, emails and job handlers are not listed: they register themselves when their modules are imported.
    """

    name: str
    blueprints: tuple[Blueprint, ...] = ()
    # The words after `flask`, and `module:command`. Of two words, the first is a group of another folder.
    commands: Mapping[str, str] = field(default_factory=dict)
    # Navigation: in the header, in the side bar of the account, in that of administration.
    site_pages: tuple[NavPage, ...] = ()
    account_pages: tuple[NavPage, ...] = ()
    admin_pages: tuple[AdminPage, ...] = ()
    api_tags: tuple[ApiTag, ...] = ()
    # On the first page of administration, and on pages of other folders.
    notices: tuple[NoticeSource, ...] = ()
    parts: tuple[Part, ...] = ()
    # Kinds of audit events and their sentences.
    audit_texts: Mapping[str, str] = field(default_factory=dict)
    schedule: tuple[Entry, ...] = ()
    # In the jobs `purge-expired` and `settle-accounts`: delete expired rows, end what has run out.
    purges: tuple[Purge, ...] = ()
    expirations: tuple[Purge, ...] = ()
    # Remove what is stored about a user whose row does not take it along.
    erasures: tuple[Erasure, ...] = ()
    # What users who have yet to confirm their address get then.
    promises: tuple[Promises, ...] = ()
    # Ways into accounts, which recovery revokes and undoes; bearer tokens of requests; second factors.
    access: tuple[AccessKind, ...] = ()
    credentials: tuple[CredentialKind, ...] = ()
    factors: tuple[FactorKind, ...] = ()
    # Returns the principal of the impersonated user for a browser's session. Only one feature can have it.
    act_as: Callable[[Source, Found, datetime], Found] | None = None
    # Returns the labels of ways to sign in, by name, as the settings of the application have them.
    sign_in_methods: Callable[[], Mapping[str, str]] = dict
    # Returns why the feature can't be disabled: it protects accounts, or is the only way to sign in to them.
    find_use: Callable[[Work], str | None] = lambda work: None
    # `module:function` of checks for `flask doctor`.
    checks: tuple[str, ...] = ()
    is_on: bool = True

    def turned_off(self) -> Feature:
        """Return what stays of the feature: its rows expire, are erased and revoked, and its events have sentences."""
        return Feature(
            name=self.name,
            audit_texts=self.audit_texts,
            purges=self.purges,
            expirations=self.expirations,
            erasures=self.erasures,
            access=tuple(access.without_ways_in() for access in self.access),
            find_use=self.find_use,
            is_on=False,
        )


class Features:
    """What all features of an application add. Raises ValueError for a name that two of them declare."""

    def __init__(self, features: Iterable[Feature]) -> None:
        unique = _by_name((feature.name, feature) for feature in features).values()
        self.active = {feature.name: feature for feature in unique if feature.is_on}
        self.off = [feature for feature in unique if not feature.is_on]
        self.blueprints = [blueprint for feature in unique for blueprint in feature.blueprints]
        self.commands = _by_name(pair for feature in unique for pair in feature.commands.items())
        self.site_pages = sorted((page for feature in unique for page in feature.site_pages), key=_place)
        self.account_pages = sorted((page for feature in unique for page in feature.account_pages), key=_place)
        self.admin_pages = sorted((page for feature in unique for page in feature.admin_pages), key=_place)
        self.api_tags = sorted((tag for feature in unique for tag in feature.api_tags), key=_place)
        self.notices = sorted((source for feature in unique for source in feature.notices), key=_place)
        self.parts: dict[str, list[Part]] = {}
        for part in sorted((part for feature in unique for part in feature.parts), key=_place):
            self.parts.setdefault(part.slot, []).append(part)
        self.audit_texts = _by_name(pair for feature in unique for pair in feature.audit_texts.items())
        schedule = _by_name((entry.name, entry) for feature in unique for entry in feature.schedule)
        self.schedule = tuple(schedule[name] for name in sorted(schedule))
        self.purges = [purge for feature in unique for purge in feature.purges]
        self.erasures = [erase for feature in unique for erase in feature.erasures]
        self.promises = [promises for feature in unique for promises in feature.promises]
        self.access = [access for feature in unique for access in feature.access]
        self.factors = _by_name((factor.kind, factor) for feature in unique for factor in feature.factors)
        self.checks = [place for feature in unique for place in feature.checks]
        self.act_as = next((feature.act_as for feature in unique if feature.act_as), None)
        self.credentials = [credential for feature in unique for credential in feature.credentials]
        self.expirations = [end for feature in unique for end in feature.expirations]

    def label_methods(self) -> dict[str, str]:
        """Return the labels of ways to sign in that features add, by name."""
        return {name: label for feature in self.active.values() for name, label in feature.sign_in_methods().items()}


def _place(ordered: ApiTag | NavPage | AdminPage | NoticeSource | Part) -> int:
    return ordered.place


def _by_name(pairs: Iterable[tuple[str, V]]) -> dict[str, V]:
    named: dict[str, V] = {}
    for name, value in pairs:
        if name in named:
            raise ValueError(f"two features declare {name}")
        named[name] = value
    return named
