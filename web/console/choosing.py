"""Which account: the first page after signing in."""

from __future__ import annotations

from flask import redirect, render_template, url_for

from web.console.visit import SIGNED_IN, Answer, Visit, page


@page("/", allow=SIGNED_IN)
def home(visit: Visit) -> Answer:
    """Straight to the account of somebody who has one."""
    if len(visit.accounts) == 1:
        return redirect(url_for("console.dashboard", slug=visit.accounts[0][0].slug))
    return redirect(url_for("console.accounts"))


@page("/accounts", allow=SIGNED_IN)
def accounts(visit: Visit) -> Answer:
    """The accounts of this person."""
    return render_template("console/accounts.html")
