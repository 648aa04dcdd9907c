"""Long work: its progress as a fragment that a page shows, and as a page of its own for browsers without scripts."""

from __future__ import annotations

from flask import render_template, request

from domain import tasks
from domain.models import Task
from domain.staff.permissions import Permission
from web.console.states import state
from web.console.visit import SIGNED_IN, Answer, Visit, page


@page("/work/<int:task_id>", allow=Permission.DASHBOARD_READ)
def work(visit: Visit, task_id: int) -> Answer:
    """How far a piece of work of this account is."""
    return _shown(visit.read(lambda session: tasks.get(session, visit.account.id, task_id)))


@page("/tasks/<int:task_id>", allow=SIGNED_IN)
def installation_work(visit: Visit, task_id: int) -> Answer:
    """How far work for the whole installation is; it says nothing of any account."""
    return _shown(visit.read(lambda session: tasks.get(session, None, task_id)))


def _shown(task: Task) -> str:
    part = "X-Fragment" in request.headers
    template = "console/task_part.html" if part else "console/task.html"
    return render_template(template, task=task, badge=state("task", task.state))
