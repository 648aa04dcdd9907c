"""How a control call is declared, reads its JSON, and answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request

from simulator.errors import ControlError
from simulator.pay.courier import Courier
from simulator.pay.gate import Desk
from simulator.pay.transfers import Transfers
from simulator.people import People
from simulator.push import Postman, Push
from simulator.shop import Shops
from simulator.state import Account, Contact, User, World

LONGEST_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Room:
    """What the control calls work on."""

    world: World
    people: People
    postman: Postman
    shops: Shops
    desk: Desk
    courier: Courier

    @property
    def transfers(self) -> Transfers:
        """The book of transfers."""
        return self.desk.transfers


class ControlCall:
    """One control call: the room, and the JSON body (of GET: the query) read field by field."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.world = room.world
        self.fields: dict[str, Any] = (
            _body() if request.method == "POST" else request.args.to_dict()
        )

    def text(self, name: str, default: str | None = None) -> str:
        """A text field; without a default it must be there."""
        value = self.fields.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ControlError(f"{name} must be a text")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number, also when it came as text in a query."""
        value = self.fields.get(name, default)
        try:
            return int(value)  # type: ignore[arg-type]  # None ends in the TypeError below
        except (TypeError, ValueError) as error:
            raise ControlError(f"{name} must be a whole number") from error

    def account(self) -> Account:
        """The account that is meant; may be left out while there is only one."""
        return self.world.get_account(self.fields.get("account"))

    def user(self) -> User:
        """The person that is meant."""
        return self.world.get_user(self.text("user"))

    def contact(self) -> Contact:
        """What the account and the person that are meant have in common."""
        return self.world.contact_of(self.account(), self.user())

    def pushed(self, push: Push) -> Any:
        """The push record, by default when the delivery is over."""
        if self.fields.get("wait", True) is False:
            return push.as_json(), 202
        push.done.wait(LONGEST_WAIT_SECONDS)
        return push.as_json()


@dataclass(frozen=True)
class Declared:
    """A control call with its method and path."""

    method: str
    path: str
    handler: Callable[..., Any]


class Calls:
    """A group of control calls; their docstrings are the documentation."""

    def __init__(self) -> None:
        self.all: list[Declared] = []

    def add(self, method: str, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare the function as the handler of this path."""

        def declare(handler: Callable[..., Any]) -> Callable[..., Any]:
            self.all.append(Declared(method, path, handler))
            return handler

        return declare


def blueprint(room: Room, declared: list[Declared]) -> Blueprint:
    """All control calls."""
    bp = Blueprint("control", __name__)
    for each in declared:
        bp.add_url_rule(
            each.path,
            f"{each.method} {each.path}".replace(".", "_"),
            _view(room, each.handler),
            methods=[each.method],
        )
    bp.register_error_handler(ControlError, _refused)
    return bp


def _view(room: Room, handler: Callable[..., Any]) -> Callable[..., Any]:
    def view(**parts: str) -> Any:
        if request.method != "POST":
            return handler(ControlCall(room), **parts)
        started, state = time.perf_counter(), room.world.state
        call, number, status = ControlCall(room), room.world.next_id(), 200
        try:
            return handler(call, **parts)
        except ControlError as error:
            status = error.status
            raise
        finally:
            room.world.changes += 1
            act = {
                "id": number,
                "at": room.world.now(),
                "path": request.path,
                "who": _name(room.world, call.fields.get("user")),
                "fields": call.fields,
                "status": status,
                "ms": round((time.perf_counter() - started) * 1000, 1),
            }
            if room.world.state is state:  # else it was a reset: the numbers begin anew
                room.world.acts.append(act)

    return view


def _name(world: World, wanted: Any) -> str:
    """What the journal calls the person that an act is about; "" when it is about nobody."""
    known = world.state.users.get(wanted) if isinstance(wanted, str) else None
    return known.name if known else str(wanted or "")


def _refused(error: ControlError) -> tuple[Response, int]:
    return jsonify(error=error.message), error.status


def _body() -> dict[str, Any]:
    given = request.get_json(silent=True, force=True) if request.get_data() else {}
    if not isinstance(given, dict):
        raise ControlError("the body must be a JSON object")
    return given
