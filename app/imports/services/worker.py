"""User imports in a worker: decide about each row of the file, then apply it exactly once.

A row never does more than the importer could do by hand, with the permissions that their credential had then and they
still have.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import selectinload

from app.audit.services.log import AuditLog
from app.auth.services.principals import NEVER
from app.core import errors
from app.core.addresses import canonical_address, clean_name
from app.core.dialects import insert_rows, upsert
from app.core.lengths import MAX_ADDRESS_LENGTH, MAX_OUTCOME_LENGTH, MAX_REASON_LENGTH, MAX_ROLE_NAME_LENGTH
from app.core.lifetimes import Lifetimes
from app.core.principal import OPERATOR, Actor, Principal
from app.core.service import Service, Services
from app.files.service import Files
from app.imports.csv_reader import Record
from app.imports.errors import UnreadableFile
from app.imports.models import Phase, RowOutcome, UserImport, UserImportRow
from app.imports.permissions import USERS_IMPORT
from app.imports.services.user_imports import UserImports
from app.jobs.services.queue import JobQueue
from app.users.models import MEMBER, Role, User, UserWord, searched_text, user_roles, words_of
from app.users.permissions import ROLES_ASSIGN, USERS_EDIT, USERS_INVITE, permissions_of
from app.users.promises import Promises
from app.users.services.policy import Policy
from app.users.services.roles import Roles
from app.users.services.users import Users

COLUMNS = ("email", "name", "roles")
ALIASES = {"e-mail": "email", "email address": "email", "e-mail address": "email", "full name": "name", "role": "roles"}
MAX_ROWS = 1_000_000
MAX_EXAMPLES = 50
NARROWED = "narrowed"  # In the examples of an import: a changed row that takes permissions away.
TO_DO = (RowOutcome.NEW, RowOutcome.CHANGED)


@dataclass(slots=True)
class _Row:
    """A stored row while it is processed."""

    number: int
    email: str
    name: str
    roles: list[str]
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class RowDecision:
    """The decision for a row; with `is_narrowing` the user would lose permissions."""

    outcome: RowOutcome
    reason: str | None = None
    is_narrowing: bool = False


class ImportWorker(Service):
    """The check and application of an import; `by` is the importer as `importer` returns them."""

    audit: AuditLog
    files: Files
    job_queue: JobQueue
    lifetimes: Lifetimes
    policy: Policy
    promises: Sequence[Promises]
    roles: Roles
    services: Services
    user_imports: UserImports
    users: Users

    def find(self, import_id: int, phase: Phase) -> UserImport | None:
        """Return the import if it is in this phase."""
        user_import = self.session.get(UserImport, import_id)
        return user_import if user_import is not None and user_import.phase == phase else None

    def importer(self, user_import: UserImport) -> Actor:
        """Return the importer with their current permissions. Raises UnreadableFile if they can no longer import."""
        if user_import.by_operator:
            return OPERATOR
        user = (
            self.session.get(User, user_import.owner_id, options=[selectinload(User.roles)])
            if user_import.owner_id
            else None
        )
        permissions = (
            permissions_of(user.roles) & set(user_import.permissions) if user and user.can_sign_in() else frozenset()
        )
        if user is None or USERS_IMPORT not in permissions:
            raise UnreadableFile("The user who started this import can no longer import users.")
        now = self.clock()
        # The check shows the result after a confirmation, which is required at the start.
        is_confirmed = user_import.is_confirmed or user_import.phase == Phase.CHECKING
        return Principal(
            user_id=user.id,
            name=user.name,
            email=user.email,
            member_since=user.created_at,
            roles=tuple(role.name for role in user.roles),
            permissions=permissions,
            session_id=0,
            authenticated_at=now,
            confirmed_at=now if is_confirmed else NEVER,
            via="api_key" if user_import.by_key else "cookie",
        )

    def check(self, import_id: int, records: Sequence[Record], *, by: Actor) -> None:
        """Decide on rows that were read, and store them."""
        user_import = self.session.get_one(UserImport, import_id)
        rows = [_understood(import_id, record) for record in records]
        self._refuse_repetitions(import_id, rows)
        readable = [row for row in rows if row["outcome"] == RowOutcome.NEW]
        users = self._known([row["email"] for row in readable])
        known_roles, narrowing = self._roles(), set()
        for row in readable:
            verdict = self._judge(row["name"], row["roles"], users.get(row["email"]), known_roles, by=by)
            row["outcome"], row["reason"] = verdict.outcome, verdict.reason
            if verdict.is_narrowing:
                narrowing.add(row["number"])
        insert_rows(self.session, UserImportRow, rows)
        user_import.checked = _added(user_import.checked, (row["outcome"] for row in rows))
        user_import.gives_roles |= any(row["outcome"] in TO_DO and set(row["roles"]) - {MEMBER} for row in rows)
        kinds = [(row["number"], NARROWED if row["number"] in narrowing else row["outcome"]) for row in rows]
        self._keep_examples(user_import, kinds)

    def close_check(self, import_id: int, *, ignored: Sequence[str]) -> int:
        """Finish the check; return the number of rows."""
        user_import = self.session.get_one(UserImport, import_id)
        user_import.phase, user_import.rows, user_import.ignored = (
            Phase.CHECKED,
            sum(user_import.checked.values()),
            list(ignored),
        )
        self._drop_file(user_import)
        return user_import.rows

    def refuse(self, import_id: int, problem: str) -> None:
        """Refuse the import for the reason `problem`."""
        user_import = self.session.get_one(UserImport, import_id)
        user_import.phase, user_import.problem, user_import.ended_at = (
            Phase.REFUSED,
            problem[:MAX_OUTCOME_LENGTH],
            self.clock(),
        )
        self._drop_file(user_import)

    def apply(self, import_id: int, *, after: int, limit: int, by: Actor) -> tuple[int, int]:
        """Apply the next rows of the file; returns how many there were, and the number of the last."""
        user_import = self.session.get_one(UserImport, import_id)
        rows = self._rows(import_id, after=after, limit=limit)
        to_do = [row for row in rows if row.outcome in TO_DO]
        users = self._known([row.email for row in to_do], lock=True)
        known_roles, fresh = self._roles(), []
        for row in to_do:
            user = users.get(row.email)
            verdict = self._judge(row.name, row.roles, user, known_roles, by=by)
            if verdict.outcome == RowOutcome.NEW and row.outcome == RowOutcome.NEW:
                fresh.append(row)
            elif user is not None and verdict.outcome == RowOutcome.CHANGED == row.outcome:
                self._update(row, user, by=by)
            elif verdict.outcome in {RowOutcome.UNCHANGED, RowOutcome.REFUSED}:
                row.outcome, row.reason = verdict.outcome, verdict.reason
            else:
                row.outcome = RowOutcome.REFUSED
                row.reason = "The account was created or deleted since the check."
        self._add(user_import, fresh, by=by)
        self._keep_outcomes(import_id, to_do)
        user_import.applied = _added(user_import.applied, (row.outcome for row in rows))
        turned = [row for row in to_do if row.outcome == RowOutcome.REFUSED]
        self._keep_examples(user_import, [(row.number, row.outcome) for row in turned])
        return len(rows), rows[-1].number if rows else after

    def close(self, import_id: int) -> None:
        user_import = self.session.get_one(UserImport, import_id)
        user_import.phase, user_import.ended_at = Phase.DONE, self.clock()
        self.audit.record("import.done", subject_id=None, import_id=user_import.id, **user_import.applied)

    def _rows(self, import_id: int, *, after: int, limit: int) -> list[_Row]:
        columns = (getattr(UserImportRow, field.name) for field in fields(_Row))
        rows = select(*columns).where(UserImportRow.import_id == import_id, UserImportRow.number > after)
        return [_Row(*row) for row in self.session.execute(rows.order_by(UserImportRow.number).limit(limit))]

    def _keep_outcomes(self, import_id: int, rows: Sequence[_Row]) -> None:
        """Store the outcomes with one statement for each outcome and reason."""
        alike: dict[tuple[str, str | None], list[int]] = {}
        for row in rows:
            alike.setdefault((row.outcome, row.reason), []).append(row.number)
        for (outcome, reason), numbers in alike.items():
            self.session.execute(
                update(UserImportRow)
                .where(UserImportRow.import_id == import_id, UserImportRow.number.in_(numbers))
                .values(outcome=outcome, reason=reason)
                .execution_options(synchronize_session=False)
            )

    # ── one row ──

    def _judge(
        self,
        name: str,
        roles: Sequence[str],
        user: User | None,
        known_roles: dict[str, Role],
        *,
        by: Actor,
    ) -> RowDecision:
        if unknown := sorted(set(roles) - known_roles.keys()):
            return RowDecision(RowOutcome.REFUSED, f"Unknown role: {', '.join(unknown)}."[:MAX_REASON_LENGTH])
        try:
            if user is None:
                self._check_new(roles, known_roles, by=by)
                return RowDecision(RowOutcome.NEW)
            return self._judge_change(name, roles, user, known_roles, by=by)
        except errors.AccountError as refusal:
            return RowDecision(RowOutcome.REFUSED, str(refusal))

    def _check_new(self, roles: Sequence[str], known_roles: dict[str, Role], *, by: Actor) -> None:
        self.policy.check(by, USERS_INVITE)
        if roles:
            self.policy.check(by, ROLES_ASSIGN)
        for role in roles or (MEMBER,):
            self.policy.check_assigning(by, known_roles[role])

    def _judge_change(
        self, name: str, roles: Sequence[str], user: User, known_roles: dict[str, Role], *, by: Actor
    ) -> RowDecision:
        held, changes = {role.name for role in user.roles}, []
        renames, assigns = bool(name) and name != user.name, bool(roles) and set(roles) != held
        if renames:
            changes.append(f"name: {user.name or 'none'} → {name}")
        is_narrowing = False
        if assigns:
            changes.append(f"roles: {', '.join(sorted(held)) or 'none'} → {', '.join(sorted(roles))}")
            left = permissions_of([known_roles[role] for role in roles])
            is_narrowing = not permissions_of(user.roles) <= left
        if is_narrowing:
            changes.append("fewer permissions, of your own account" if user.id == by.user_id else "fewer permissions")
        if not changes:
            return RowDecision(RowOutcome.UNCHANGED)
        _check_there(user)
        if renames:
            self.policy.check(by, USERS_EDIT, user)
        if assigns:
            self.policy.check(by, ROLES_ASSIGN, user)
            for role in set(roles) ^ held:
                self.policy.check_assigning(by, known_roles[role])
        return RowDecision(RowOutcome.CHANGED, "; ".join(changes)[:MAX_REASON_LENGTH], is_narrowing)

    def _update(self, row: _Row, user: User, *, by: Actor) -> None:
        try:
            with self.session.begin_nested():
                if row.name:
                    self.users.change_fields(user, {"name": row.name}, by=by)
                if row.roles:
                    self.users.set_roles(user, row.roles, by=by)
        except errors.AccountError as refusal:
            row.outcome, row.reason = RowOutcome.REFUSED, str(refusal)
        else:
            row.outcome = RowOutcome.UPDATED

    def _add(self, user_import: UserImport, rows: Sequence[_Row], *, by: Actor) -> None:
        """Create accounts with a confirmed address and no password, or with an invitation."""
        if not rows:
            return
        now = self.clock()
        added = upsert(self.session, User).on_conflict_do_nothing(index_elements=[User.email])
        accounts = [
            {
                "email": row.email,
                "name": row.name,
                "is_active": True,
                "email_verified_at": None if user_import.invites else now,
                "created_at": now,
                "updated_at": now,
                "version": 1,
            }
            for row in rows
        ]
        ids = {
            email: user_id for user_id, email in self.session.execute(added.returning(User.id, User.email), accounts)
        }
        added_rows = [row for row in rows if row.email in ids]
        for row in rows:
            row.outcome = RowOutcome.ADDED if row.email in ids else RowOutcome.REFUSED
            row.reason = None if row.email in ids else "Someone signed up with this email address since the check."
        words = [
            {"user_id": ids[row.email], "word": word}
            for row in added_rows
            for word in words_of(searched_text(row.name, row.email))
        ]
        insert_rows(self.session, UserWord, words)
        if user_import.invites:
            for promises in self.promises:
                promises.promise_all(self.services, {ids[row.email]: row.roles for row in added_rows}, by)
        elif added_rows:
            role_ids = {role.name: role.id for role in self.roles.list_all()}
            pairs = [
                {"user_id": ids[row.email], "role_id": role_ids[role]}
                for row in added_rows
                for role in {*row.roles} or {MEMBER}
            ]
            insert_rows(self.session, user_roles, pairs)
        self.audit.record_all(
            "user.imported",
            [
                (
                    ids[row.email],
                    {"email": row.email, "name": row.name, "roles": row.roles, "import_id": user_import.id},
                )
                for row in added_rows
            ],
        )

    # ── together ──

    def _refuse_repetitions(self, import_id: int, rows: Sequence[dict[str, Any]]) -> None:
        readable = [row for row in rows if row["outcome"] == RowOutcome.NEW]
        earlier = select(UserImportRow.email, UserImportRow.number).where(
            UserImportRow.import_id == import_id, UserImportRow.email.in_([row["email"] for row in readable])
        )
        # Not in the order of the rows: for that SQLite would read them all instead of looking the addresses up.
        seen: dict[str, int] = {}
        for email, number in self.session.execute(earlier):
            seen[email] = min(number, seen.get(email, number))
        for row in readable:
            first = seen.setdefault(row["email"], row["number"])
            if first != row["number"]:
                row["outcome"], row["reason"] = RowOutcome.REFUSED, f"Duplicate of row {first}."

    def _known(self, emails: Sequence[str], *, lock: bool = False) -> dict[str, User]:
        query = select(User).where(User.email.in_(emails)).options(selectinload(User.roles)).order_by(User.id)
        return {
            user.email: user for user in self.session.scalars(query.with_for_update(key_share=True) if lock else query)
        }

    def _roles(self) -> dict[str, Role]:
        return {role.name: role for role in self.roles.list_all()}

    @staticmethod
    def _keep_examples(user_import: UserImport, rows: Iterable[tuple[int, str]]) -> None:
        """Store the numbers of the first rows that are refused, changed or NARROWED, for the page."""
        counts = Counter(outcome for _, outcome in user_import.examples)
        kept = list(user_import.examples)
        for number, outcome in rows:
            if outcome in {RowOutcome.REFUSED, RowOutcome.CHANGED, NARROWED} and counts[outcome] < MAX_EXAMPLES:
                counts[outcome] += 1
                kept.append([number, str(outcome)])
        if len(kept) > len(user_import.examples):
            user_import.examples = sorted(kept)

    def _drop_file(self, user_import: UserImport) -> None:
        if user_import.file_id is not None:
            file_id, user_import.file_id = user_import.file_id, None
            self.session.flush()
            self.files.delete(file_id)


def columns_of(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return our column for each column of the file, and the ignored ones. Raises UnreadableFile without email
    addresses.
    """
    columns = {name: ALIASES.get(name, name) for name in names}
    used = {name: column for name, column in columns.items() if column in COLUMNS}
    if "email" not in used.values():
        raise UnreadableFile(
            "The first row must contain a column “email”. The columns “name” and “roles” are optional."
        )
    if len(set(used.values())) < len(used):
        raise UnreadableFile("Two columns in the first row have the same meaning.")
    return used, [name for name in columns if name not in used and name]


def _check_there(user: User) -> None:
    if user.deleted_at is not None:
        raise errors.AccountError("The account is deleted. Restore it first.")
    # The person who signed up with this address may not be its owner, and must not gain anything.
    if not user.is_verified():
        raise errors.AccountError("The user hasn't confirmed this email address.")


def _understood(import_id: int, record: Record) -> dict[str, Any]:
    """Return the row as stored; a readable one counts as new until it is decided."""
    cells = record.cells
    row: dict[str, Any] = {
        "import_id": import_id,
        "number": record.number,
        "email": cells.get("email", "")[:MAX_ADDRESS_LENGTH],
        "name": "",
        "roles": [],
        "outcome": RowOutcome.NEW,
        "reason": None,
    }
    try:
        if record.problem is not None:
            raise UnreadableFile(record.problem)
        row["email"] = canonical_address(cells.get("email", ""))
        row["name"] = clean_name(cells.get("name", ""))
        row["roles"] = sorted(
            {role[:MAX_ROLE_NAME_LENGTH] for role in cells.get("roles", "").replace(",", " ").replace(";", " ").split()}
        )
    except errors.InvalidAddress:
        row["outcome"], row["reason"] = RowOutcome.REFUSED, "Missing or invalid email address."
    except errors.InvalidName as refusal:
        row["outcome"], row["reason"] = RowOutcome.REFUSED, f"Invalid name: {refusal}"
    except UnreadableFile as refusal:
        row["outcome"], row["reason"] = RowOutcome.REFUSED, str(refusal)
    return row


def _added(counts: dict[str, Any], outcomes: Iterable[str]) -> dict[str, Any]:
    return dict(Counter(counts) + Counter(str(outcome) for outcome in outcomes))
