"""What the broker remembers: the transactions on its database, and the look-ups of people.

Device sign-ins are in ``devices``, codes from the browser in ``codes``, sessions in ``sessions``, what was revoked in
``revocations``, used identity tokens in ``replay``. Their functions take the connection of a transaction that was begun
here. This module never sees a token or a password in clear.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from indexpass.broker.settings import MAX_TOKEN_SECONDS, Database
from indexpass.broker.state import codes, database, devices, migrations, schema, usage, users
from indexpass.broker.state.database import DatabaseAway
from indexpass.broker.state.turns import Turns
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

    from indexpass._authorization import AuthorizationRequest
    from indexpass._secret import Secret
    from indexpass.broker.state.devices import DeviceRequest
    from indexpass.broker.state.usage import Count, Fetch
    from indexpass.broker.state.users import User

AUDIT_SECONDS = 400 * 24 * 3600  # a year, and time to look at it
CLOCKS_SECONDS = 600  # the clocks of two replicas differ by less
CLOSE_SECONDS = 10.0  # longer than a transaction may take
AWAY_SECONDS = 1.0  # how long a database that did not answer is left alone
_log = logging.getLogger("indexpass.broker")


class Store:
    """The database. Its methods block: call them on a thread, never on the event loop.

    Each of them raises DatabaseAway if the database does not answer, within seconds; SQLAlchemyError if it says no.
    """

    def __init__(self, where: Database | str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open the database and bring its tables up to date. Raises StoreError.

        A URL alone is a database that asks for no password.
        """
        where = Database(where) if isinstance(where, str) else where
        try:
            migrations.upgrade(where)
        except SQLAlchemyError as error:
            raise database.unopened(where, error) from error
        self._monotonic = monotonic
        self._engine = database.create(where)
        self._turns = Turns(file.parent) if (file := database.sqlite_file(where)) else None
        self._away_until = float("-inf")
        self._is_away = False
        self._ending = threading.Condition()
        self._running = 0
        self._is_closed = False
        self.failures = 0  # transactions that the database did not take, since the start

    def close(self) -> None:
        """Close all connections, once the transactions that have begun are over. None begins after that."""
        with self._ending:
            self._is_closed = True
            self._ending.wait_for(lambda: self._running == 0, CLOSE_SECONDS)
        self._engine.dispose()
        if self._turns:
            self._turns.close()

    def is_reachable(self) -> bool:
        """Does the database answer?"""
        try:
            with self.reading() as connection:
                connection.exec_driver_sql("SELECT 1")
        except SQLAlchemyError:
            return False
        return True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that only reads."""
        with self._counting_failures(), self._transaction(is_reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; it is committed on the way out, or rolled back if an exception passes."""
        with self._counting_failures(), self._in_turn(), self._transaction(is_reading=False) as connection:
            yield connection

    @contextmanager
    def _counting_failures(self) -> Iterator[None]:
        try:
            yield
        except DatabaseAway:
            self.failures += 1  # two threads at once may count one: nobody needs it more exact
            raise

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._turns:
                try:
                    stack.enter_context(self._turns.taken(database.BUSY_SECONDS))
                except TimeoutError as error:
                    raise DatabaseAway("too many wait to write") from error
            yield

    @contextmanager
    def _transaction(self, *, is_reading: bool) -> Iterator[Connection]:
        with self._counted(), ExitStack() as stack:
            connection = self._begin(stack, is_reading=is_reading)
            try:
                yield connection
                stack.close()  # this is where it is committed, which may fail as well
            except database.AWAY as error:
                _log.warning("a transaction was given up: %s", database.reason(error))
                raise DatabaseAway(database.reason(error)) from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._ending:
            if self._is_closed:
                raise DatabaseAway("the database was closed")
            self._running += 1
        try:
            yield
        finally:
            with self._ending:
                self._running -= 1
                self._ending.notify_all()

    def _begin(self, stack: ExitStack, *, is_reading: bool) -> Connection:
        """Begin a transaction that ends with ``stack``.

        Where that cannot be, nobody else tries for a second: a database that is gone would keep each request for
        seconds, and all that wait behind it longer and longer.
        """
        if self._monotonic() < self._away_until:
            raise DatabaseAway("the database did not answer a moment ago")
        try:
            connection = stack.enter_context(self._engine.connect())
            connection.execution_options(is_reading=is_reading)
            stack.enter_context(connection.begin())
        except PoolTimeout as error:  # busy, not gone
            raise DatabaseAway("all connections to the database are in use") from error
        except SQLAlchemyError as error:
            self._away_until = self._monotonic() + AWAY_SECONDS
            if not self._is_away:
                self._is_away = True
                _log.error("the database does not answer: %s", database.reason(error))
            raise DatabaseAway(database.reason(error)) from error
        if self._is_away:
            self._is_away = False
            _log.warning("the database answers again")
        return connection

    def user(self, name: str) -> User | None:
        """Return the person of this name, or None."""
        with self.reading() as connection:
            return users.find(connection, name)

    def add_user(self, name: str, password_hash: str, now: float) -> None:
        """Add a person. Raises ConfigError if there is one of this name."""
        with self.writing() as connection:
            is_new = users.add(connection, name, password_hash, now)
        if not is_new:
            raise ConfigError(f"there is a user {name} already", hint="choose another name")

    def device_request(self, user_code: str, now: float) -> DeviceRequest | None:
        """Return the sign-in that waits for this code, or None if it is unknown, expired or decided."""
        with self.reading() as connection:
            return devices.waiting(connection, user_code, now)

    def decide_device(
        self, user_code: str, user: str, *, approved: bool, now: float, groups: frozenset[str] = frozenset()
    ) -> bool:
        """Approve or deny the sign-in in the person's name. Returns True if this call decided it."""
        with self.writing() as connection:
            return devices.decide(connection, user_code, user, approved=approved, now=now, groups=groups)

    def add_code(
        self,
        asked: AuthorizationRequest,
        user: str,
        *,
        client_id: str,
        now: float,
        groups: frozenset[str] = frozenset(),
    ) -> Secret:
        """Write down that the person approved the request, and return the code for the program."""
        with self.writing() as connection:
            return codes.begin(connection, asked, user, client_id=client_id, now=now, groups=groups)

    def add_usage(self, counts: Mapping[Fetch, Count]) -> None:
        """Write down what has been fetched."""
        with self.writing() as connection:
            usage.write(connection, counts)

    def count_sessions(self, now: float) -> int:
        """Return how many sign-ins have not ended."""
        table = schema.sessions
        query = select(func.count()).select_from(table).where(table.c.expires_at > now, table.c.revoked_at.is_(None))
        with self.reading() as connection:
            return connection.execute(query).scalar_one()

    def purge(self, now: float, kept_seconds: float = AUDIT_SECONDS) -> None:
        """Remove what can no longer matter: all that has expired, and audit and usage older than ``kept_seconds``."""
        ends = {
            schema.device_codes.c.expires_at: now,
            schema.authorization_codes.c.expires_at: now,
            schema.invitations.c.expires_at: now,
            # A replica whose clock is behind ours would still take what these rows forbid.
            schema.replay.c.expires_at: now - CLOCKS_SECONDS,
            schema.revocations.c.expires_at: now - CLOCKS_SECONDS,
            # A session's last tokens outlive it, and are revoked by its row if the person has to go.
            schema.sessions.c.expires_at: now - MAX_TOKEN_SECONDS,
            schema.audit.c.time: now - kept_seconds,
        }
        for column, end in ends.items():  # each in a transaction of its own: nobody else has to wait for long
            with self.writing() as connection:
                connection.execute(delete(column.table).where(column < end))
        with self.writing() as connection:
            usage.purge(connection, now - kept_seconds)
