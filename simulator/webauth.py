"""Web login, the phone's half: who looks at the page, whether they consent, and the way back with a code.

https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
"""

from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template_string, request
from werkzeug.wrappers import Response as AnyResponse

from simulator import ids
from simulator.errors import ControlError
from simulator.platform.oauth import USERINFO
from simulator.state import Account, Grant, User, World

SCOPES = ("snsapi_base", USERINFO)
HOLDER = "sim_user"  # the cookie that says whose phone the browser is
_AGREED = "sim_agreed"

_HEAD = """<!doctype html><html lang="zh-CN"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>微信</title>
<style>body { font: 16px/1.6 system-ui, sans-serif; margin: 20vh auto; max-width: 20rem; text-align: center }
a { display: block; margin: .6rem; padding: .5rem; border-radius: .4rem; background: #07a352; color: #fff;
text-decoration: none }</style>"""
_ERROR = _HEAD + "<h1>Oops</h1><p>{{ words }}</p>"
_WHO = (
    _HEAD
    + """<p>谁拿着这部手机？</p>
{% for user in users %}<a href="{{ here }}&{{ holder }}={{ user.id }}">{{ user.name }}</a>{% endfor %}"""
)
_CONSENT = (
    _HEAD
    + """<p>{{ account.name }} 申请获得你的昵称、头像</p>
<a href="{{ here }}&{{ agreed }}=1">允许</a>"""
)


def blueprint(world: World) -> Blueprint:
    """The pages of open.weixin.qq.com, and /_sim/open that puts a phone into somebody's hand."""
    bp = Blueprint("webauth", __name__)

    @bp.get("/connect/oauth2/authorize")
    def authorize() -> AnyResponse | str:
        account = world.state.accounts.get(request.args.get("appid", ""))
        if account is None:
            return render_template_string(_ERROR, words="AppID 参数错误，错误码：10013")
        if problem := _problem(account):
            return render_template_string(_ERROR, words=problem)
        user = _holder(world)
        if user is None:
            users = list(world.state.users.values())
            return render_template_string(_WHO, users=users, here=request.url, holder=HOLDER)
        if not _may(world, account, user):
            return render_template_string(
                _CONSENT, account=account, here=request.url, agreed=_AGREED
            )
        return redirect(_way_back(_grant(world, account, user)))

    @bp.get("/_sim/open")
    def open_page() -> Response:
        """Open `url` in the browser as `user`."""
        return _handed_over(world, world.get_user(request.args.get("user", "")))

    @bp.errorhandler(ControlError)
    def refused(error: ControlError) -> Response:
        return Response(error.message, error.status, content_type="text/plain; charset=utf-8")

    return bp


def _problem(account: Account) -> str | None:
    target = urlsplit(request.args.get("redirect_uri", ""))
    if target.scheme not in ("http", "https") or not target.hostname:
        return "redirect_uri 参数错误，错误码：10003"
    if account.web_domains and target.hostname not in account.web_domains:
        return "redirect_uri 域名与后台配置不一致，错误码：10003"
    if request.args.get("response_type") != "code" or request.args.get("scope") not in SCOPES:
        return "Scope 参数错误或没有 Scope 权限，错误码：10005"
    return None


def _handed_over(world: World, user: User) -> Response:
    """On to the page, as this person.

    All phones share the cookies of one browser. So the cookies by which the accounts' pages
    remember a visitor (setting `web_cookie`) are dropped when another phone than before comes.
    """
    url = request.args.get("url", "/")
    if urlsplit(url).scheme not in ("http", "https", ""):
        raise ControlError("url must be a web address")
    response = make_response(redirect(url))
    if request.cookies.get(HOLDER) != user.id:
        for account in world.accounts:
            if account.web_cookie:
                response.delete_cookie(account.web_cookie, path=account.web_cookie_path)
    response.set_cookie(HOLDER, user.id)
    return response


def _holder(world: World) -> User | None:
    """Whoever holds the phone: said in the address, or remembered in the cookie."""
    wanted = request.args.get(HOLDER) or request.cookies.get(HOLDER)
    try:
        return world.get_user(wanted) if wanted else None
    except ControlError:  # a cookie from before the last reset
        return None


def _may(world: World, account: Account, user: User) -> bool:
    """Followers are not asked, and nobody is asked for the openid alone."""
    if request.args["scope"] != USERINFO or request.args.get(_AGREED):
        return True
    return world.contact_of(account, user).subscribed


def _grant(world: World, account: Account, user: User) -> str:
    """A new code."""
    snapshot = world.faults.snapshot_visitors
    contact = world.contact_of(account, user)
    openid = ids.openid(account.app_id) if snapshot else contact.openid
    code = ids.random_text(32)
    world.grants[f"code {code}"] = Grant(
        account.app_id, openid, user.id, request.args["scope"], world.now(), snapshot
    )
    return code


def _way_back(code: str) -> str:
    target = request.args["redirect_uri"]
    query = urlencode({"code": code, "state": request.args.get("state", "")})
    return f"{target}{'&' if '?' in target else '?'}{query}"
