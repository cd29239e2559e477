"""The store that needs nothing beside what is there: PostgreSQL, a row a piece."""

import uuid
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from db.files import parts
from db.scope import scope
from db.session import Transactions
from tasks import errors

NAME = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """Each call has a transaction of its own: nobody holds a connection while a client sends or reads."""

    transactions: Transactions
    name: str = NAME

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        try:
            with self.transactions.begin() as session, scope(session, tenant_id):
                parts.keep_piece(session, tenant_id, part_id, number, piece)
        except IntegrityError as error:
            raise errors.Unavailable("what was being written is gone; try again") from error

    def get(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int) -> bytes:
        with self.transactions.begin() as session, scope(session, tenant_id):
            return parts.read_piece(session, tenant_id, part_id, number, start, end) or b""

    def discard(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
        more = True
        while more:
            with self.transactions.begin() as session, scope(session, tenant_id):
                more = parts.erase_pieces(session, tenant_id, part_id)
