"""A web service: requests are parsed, routed, answered from sessions and a cache, and logged.

The handler is http.server's; its connections are in memory, so there is no socket and no thread.

Recorded as a trace by `obmallocbench record`. Standard library only, the same each time.
"""
import collections
import http.cookies
import http.server
import io
import json
import random
import urllib.parse

SEED = 2005
REQUESTS = 2500
VISITORS = 300
SESSIONS = 150              # open at the same time at most; the one used least recently goes
BASKET = 12                 # articles in a basket at most

sessions = collections.OrderedDict()
log = collections.deque(maxlen=500)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request that lies in memory."""

    protocol_version = "HTTP/1.1"

    def __init__(self, request):
        self.rfile = io.BytesIO(request)
        self.wfile = io.BytesIO()
        self.client_address = ("192.0.2.1", 80)
        self.handle_one_request()

    def date_time_string(self, timestamp=None):
        return "Sun, 23 Jan 2005 00:00:00 GMT"

    def log_message(self, format, *arguments):
        log.append(format % arguments)

    def session(self):
        """Return the session (dictionary) that the cookie names."""
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        name = cookie["session"].value if "session" in cookie else "nobody"
        found = sessions.setdefault(name, {"name": name, "basket": [], "seen": {}})
        sessions.move_to_end(name)
        while len(sessions) > SESSIONS:
            sessions.popitem(last=False)
        return found

    def do_GET(self):
        """Remember what was looked at, and answer with JSON."""
        session = self.session()
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        article = int(query.get("article", ["0"])[0])
        session["seen"][article] = session["seen"].get(article, 0) + 1
        self.answer({"path": url.path, "query": query, "seen": sorted(session["seen"])})

    def do_POST(self):
        """Put what the form says into the basket."""
        session = self.session()
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("ascii")
        session["basket"].append(dict(urllib.parse.parse_qsl(body)))
        del session["basket"][:-BASKET]
        self.answer({"basket": session["basket"]})

    def answer(self, document):
        """Write the answer."""
        body = json.dumps(document).encode("ascii")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def new_request(draw):
    """Return the bytes of a request; draw gives random numbers in [0, 1)."""
    article = int(draw() * 5000)
    body = ""
    line = "GET /shop/article?article=%d&from=list HTTP/1.1" % article
    if draw() < 0.3:
        body = urllib.parse.urlencode({"article": article, "note": "as <soon> as possible"})
        line = "POST /shop/basket HTTP/1.1"
    return ("%s\r\nHost: shop.example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            "Cookie: session=visitor-%d; theme=dark\r\nContent-Length: %d\r\n\r\n%s"
            % (line, int(draw() * VISITORS), len(body), body)).encode("ascii")


def main():
    """Answer the requests, one after the other."""
    draw = random.Random(SEED).random
    for number in range(REQUESTS):
        answer = Handler(new_request(draw)).wfile.getvalue()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer


main()
