"""SQLAlchemy over sqlite: rows with texts of some KB are made, written, loaded and dropped."""
import random
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import phases

SEED = 2005
NAMED = 200                 # one of so many articles is remembered by its title
BATCH = 500                 # rows written together


class Base(DeclarativeBase):
    """The tables."""


class Article(Base):
    """An article with its text and its picture."""

    __tablename__ = "articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    picture: Mapped[bytes]


def work(articles: int, folder: Path) -> list[str]:
    """Make articles and write them, load all in one session and drop them; return some titles."""
    chance = random.Random(SEED)
    path = folder / "articles.db"
    path.unlink(missing_ok=True)
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    for first in range(0, articles, BATCH):
        with Session(engine) as session:
            session.add_all(
                Article(title=f"article {number}", body="words " * chance.randrange(100, 1400),
                        picture=chance.randbytes(chance.randrange(600, 9000)))
                for number in range(first, min(first + BATCH, articles)))
            session.commit()
    with Session(engine) as session:
        loaded = session.scalars(select(Article).order_by(Article.id)).all()
        assert len(loaded) == articles
        assert sum(len(article.body) % 6 for article in loaded) == 0
        titles = [article.title for article in loaded[::NAMED]]
    engine.dispose()
    return titles


phases.run("rows", work, {"articles": 12_000})
