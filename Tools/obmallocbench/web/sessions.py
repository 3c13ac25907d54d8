"""Sessions: what a service keeps of its visitors, most of whom leave for good.

A visit finds or makes the session of some user, and adds to it what was looked at. So many come that
all users are there soon, however fast the service is. A thread removes the sessions that were not used
for a while; a few users asked to be remembered, and stay.
"""

import random
import threading
import time

USERS = 10_000
STAYING = 100               # one of so many users is remembered
VISITS = 40                 # that one request stands for
MOST_SEEN = 20              # articles that a session remembers
MOST_WANTED = 10            # articles in a basket
EXPIRE_SECONDS = 5
REAPER_SECONDS = 1

numbers = random.Random(20050123)
sessions = {}
lock = threading.Lock()


class Session:
    """What is kept of a user."""

    def __init__(self, user):
        self.user = f"user {user}"
        self.stays = user % STAYING == 0
        self.basket = {}
        self.seen = []

    def visit(self, article):
        self.used = time.monotonic()
        self.seen.append((article, f"/shop/{article}", self.used))
        del self.seen[:-MOST_SEEN]
        self.basket[f"article {article}"] = {"count": 1 + article % 3, "price": article * 0.25}
        if len(self.basket) > MOST_WANTED:
            del self.basket[next(iter(self.basket))]


def visit():
    """Let some users look at something, and return how many sessions there are."""
    with lock:
        for _ in range(VISITS):
            user = numbers.randrange(USERS)
            session = sessions.get(user)
            if session is None:
                session = sessions[user] = Session(user)
            session.visit(numbers.randrange(10_000))
        return len(sessions)


def reap():
    """Remove the sessions that were not used for a while, again and again."""
    while True:
        time.sleep(REAPER_SECONDS)
        limit = time.monotonic() - EXPIRE_SECONDS
        with lock:
            for user in [user for user, session in sessions.items()
                         if session.used < limit and not session.stays]:
                del sessions[user]
