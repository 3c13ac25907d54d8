"""Flask: requests are answered by an application that keeps its sessions in the process.

The requests are made by Flask's test client, so there is no socket and no thread. The visitors grow
in number, and in the evening most of them leave: the sessions that were not used for long go.

Runs alone on any CPython that Flask runs on; see measure.py for the line that it writes.
"""
import collections
import random

import flask

import measure

SEED = 2005
BASKET = 250                # articles that a session remembers at most
SEEN = 100                  # of them that a request adds
EVENING = 0.05              # of the requests come in the evening, from as small a part of the visitors

application = flask.Flask(__name__, static_folder=None)
sessions = collections.OrderedDict()


@application.route("/shop/<article>")
def shop(article):
    """Remember what was looked at, and answer with a page and with JSON in it."""
    name = flask.request.cookies.get("session", "nobody")
    session = sessions.setdefault(name, {"name": name, "seen": []})
    sessions.move_to_end(name)
    for number in measure.integers(SEEN):
        session["seen"].append({"article": "%s-%d" % (article, number), "price": number * 0.5,
                                "from": flask.request.args.get("from")})
    del session["seen"][:-BASKET]
    return flask.render_template_string(
        "<h1>{{ article }}</h1>{% for row in seen %}<li>{{ row.article }}{% endfor %}",
        article=article, seen=session["seen"][-10:])


def answer(client, requests, visitors, most, draw):
    """Answer so many requests of so many visitors; keep so many sessions at most (int)."""
    for number in measure.integers(requests):
        client.set_cookie("session", "visitor-%d" % int(draw() * visitors))
        text = client.get("/shop/%d?from=list" % int(draw() * 50000)).get_data(as_text=True)
        if "<h1>" not in text:
            raise ValueError(text)
        while len(sessions) > most:
            sessions.popitem(last=False)


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"requests": 1000, "visitors": 600, "idle": ""})
    visitors, requests = parameters["visitors"], parameters["requests"]
    few = max(int(visitors * EVENING), 1)
    draw = random.Random(SEED).random
    client = application.test_client()
    answer(client, 2, 1, 1, draw)
    recorder = measure.begin("flask_sessions")
    answer(client, requests, visitors, visitors, draw)
    recorder.mark("busy")
    answer(client, max(int(requests * EVENING), 1), few, few, draw)
    recorder.mark("evening")
    recorder.end(parameters, {"sessions": len(sessions), "flask": flask.__name__})


main()
