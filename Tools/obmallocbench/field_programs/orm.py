"""ORM: threads load rows as objects with SQLAlchemy, change some, and end.

After reports on web workers and jobs whose memory stays at that of the largest query.
"""
from pathlib import Path

from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import (DeclarativeBase, Mapped, Session, joinedload, mapped_column,
                            relationship)

import phases

THREADS = 4
NAMED = 50                  # one of so many customers is remembered by name
LINES = 6                   # of an order


class Base(DeclarativeBase):
    """The tables."""


class Order(Base):
    """An order of a customer."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    note: Mapped[str]
    lines: Mapped[list["Line"]] = relationship(back_populates="order")


class Line(Base):
    """A line of an order."""

    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    article: Mapped[str]
    amount: Mapped[float]
    order: Mapped[Order] = relationship(back_populates="lines")


def engine_of(folder: Path):
    """Return the engine of the database in a folder."""
    return create_engine(f"sqlite:///{folder}/orders.db")


def prepare(orders: int, folder: Path) -> None:
    """Write a database with so many orders."""
    engine = engine_of(folder)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(Order.__table__.insert(), [
            {"id": number + 1, "customer": f"customer {number * 7919 % 4001}",
             "note": f"note {number}" * (number % 5)} for number in range(orders)])
        connection.execute(Line.__table__.insert(), [
            {"order_id": number + 1, "article": f"article {number * line % 997}",
             "amount": line * 1.25} for number in range(orders) for line in range(LINES)])


def load(engine, first: int, last: int, names: list[str]) -> None:
    """Load orders with their lines, change them, and remember some customers."""
    with Session(engine) as session:
        orders = session.scalars(
            select(Order).where(Order.id > first, Order.id <= last)
            .options(joinedload(Order.lines))).unique().all()
        for order in orders:
            order.note = f"{sum(line.amount for line in order.lines):.2f}"
        names += [order.customer for order in orders[::NAMED]]


def work(orders: int, folder: Path) -> list[str]:
    """Have threads load all orders; return the remembered customers."""
    names: list[str] = []
    engine = engine_of(folder)
    ends = [orders * number // THREADS for number in range(THREADS + 1)]
    phases.in_threads(*((load, engine, first, last, names) for first, last in zip(ends, ends[1:])))
    engine.dispose()
    return names


phases.run("orm", work, {"orders": 20_000}, prepare)
