"""Which menu a person sees: the newest conditional menu whose rule fits, else the menu for everybody."""

from typing import Any

from simulator.state import Account, Contact, User


def seen_by(account: Account, user: User, contact: Contact | None) -> dict[str, Any] | None:
    """{button, menuid} under this person's chat; None while the account has no menu."""
    if account.menu is None:
        return None
    for menu in reversed(account.conditional_menus):
        if _fits(menu["matchrule"], user, contact):
            return {"button": menu["button"], "menuid": menu["menuid"]}
    return {"button": account.menu["button"], "menuid": account.menu_id}


def find_button(menu: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    """The button of this name that does something, at the top or in a sub-menu."""
    tops = menu["button"] if menu else []
    leaves = [leaf for top in tops for leaf in (top.get("sub_button") or [top])]
    return next((leaf for leaf in leaves if leaf["name"] == name), None)


def _fits(rule: dict[str, str], user: User, contact: Contact | None) -> bool:
    tag, platform = rule.get("tag_id"), rule.get("client_platform_type")
    if tag and (contact is None or int(tag) not in contact.tags):
        return False
    return not platform or platform == user.platform
