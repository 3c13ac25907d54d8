"""The web service that is measured.

/report  builds a report and drops it, but for a few rows (reports.py).
/small   the same with few rows: what warms the service.
/visit   adds to sessions of users, most of which expire (sessions.py).
/health  what a load balancer asks for.
"""

import threading

from flask import Flask, Response

import remembering
import reports
import sessions
import telling

application = Flask(__name__)
remembering.begin(reports.remembered)
remembering.begin(sessions.sessions, sessions.lock)
telling.begin(reports.remembered, sessions.sessions)
threading.Thread(target=sessions.reap, daemon=True).start()


@application.get("/report")
def report():
    return Response(reports.report(), mimetype="application/json")


@application.get("/small")
def small():
    return Response(reports.report(reports.FEW_ROWS), mimetype="application/json")


@application.get("/visit")
def visit():
    return {"sessions": sessions.visit()}


@application.get("/health")
def health():
    return {"remembered": len(reports.remembered)}
