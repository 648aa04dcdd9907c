"""A small merchant's server for the page of phones to talk to: it answers pushes in plain mode,
sends posters and cards through the platform's API, and takes orders."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

import requests
import segno
import xmltodict

APP_ID, SECRET = "wx8f00aa11bb22cc33", "the-secret"
MENU = {
    "button": [
        {
            "name": "我的",
            "sub_button": [
                {"type": "click", "name": "我的团队", "key": "team"},
                {"type": "click", "name": "我的收益", "key": "earnings"},
            ],
        },
        {"type": "click", "name": "我的海报", "key": "poster"},
        {
            "name": "商城",
            "sub_button": [
                {"type": "view", "name": "逛逛商城", "url": "{base}/shop"},
                {"type": "click", "name": "帮助", "key": "help"},
            ],
        },
    ]
}
TEMPLATES = [
    {
        "template_id": "joined",
        "title": "新成员加入通知",
        "content": "成员：{{thing1.DATA}}\n关系：{{phrase2.DATA}}",
    },
    {
        "template_id": "commission",
        "title": "佣金到账通知",
        "content": "订单号：{{character_string1.DATA}}\n佣金：{{amount2.DATA}}\n"
        "状态：{{thing3.DATA}}",
    },
]
WELCOME = (
    "<MsgType>news</MsgType><ArticleCount>1</ArticleCount><Articles><item>"
    "<Title>欢迎来到榕树严选</Title><Description>好茶一起喝，佣金每一分都看得见。</Description>"
    "<PicUrl>{base}/cover.svg</PicUrl><Url>{base}/shop</Url></item></Articles>"
)
COVER = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 470 200'><rect width='470' height='200' "
    "fill='#1f6f4a'/><circle cx='400' cy='40' r='130' fill='#2f9161'/>"
    "<circle cx='30' cy='200' r='110' fill='#185a3b'/></svg>"
)
SHOP_PAGE = (
    "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>商城</title><h1>榕树茶铺</h1><p>这是商城的网页。</p>"
)


class Merchant:
    """The server: `url`, and what it has been told (`pushes`, `orders`)."""

    def __init__(self, simulator_url: str) -> None:
        self.simulator_url = simulator_url
        self.pushes: list[dict[str, str]] = []
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.referrers: dict[str, str] = {}
        self.breaks = False  # answer every push with 500
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    def introduce(self) -> None:
        """Set up the account, its shop and its menu in the simulator."""
        account = {
            "app_id": APP_ID,
            "secret": SECRET,
            "token": "token",
            "name": "榕树严选",
            "gh_id": "gh_banyan",
            "mode": "plain",
            "callback_url": f"{self.url}/wechat",
            "templates": TEMPLATES,
            "web_cookie": "visitor",
        }
        self._control("accounts", account)
        products = [
            {"sku": "TEA", "title": "武夷岩茶礼盒", "price_fen": 12800},
            {"sku": "CUP", "title": "白瓷盖碗", "price_fen": 5900},
        ]
        shop = {"name": "榕树茶铺", "base_url": self.url, "key": "k", "secret": "s"}
        self._control("shops", shop | {"products": products})
        menu = json.dumps(MENU, ensure_ascii=False).replace("{base}", self.url)
        self._api("/cgi-bin/menu/create", data=menu.encode())

    def answer(self, push: dict[str, str]) -> str:
        """The inside of the passive reply to a push; "" for none."""
        openid, event = push["FromUserName"], push.get("Event", "").lower()
        if push["MsgType"] == "text":
            return _text(f'收到：{push["Content"]}，去<a href="{self.url}/shop">商城</a>看看。')
        if event == "subscribe":
            self._bind(openid, push.get("EventKey", ""))
            return WELCOME.replace("{base}", self.url)
        if event == "click" and push["EventKey"] == "poster":
            threading.Thread(target=self._send_poster, args=(openid,), daemon=True).start()
            return _text("正在生成你的海报…")
        if event == "click":
            return _text("我的收益\n累计 ¥12.80　冻结 ¥12.80\n\n回复「明细」看每一笔。")
        return ""

    def take_order(self, path: str, order: dict[str, Any]) -> None:
        """Remember the report; tell the referrer of the buyer what a new order brings."""
        self.orders.append((path, order))
        referrer = self.referrers.get(order.get("openid", ""))
        if referrer:
            commission = sum(line["paid_fen"] for line in order["lines"]) // 10
            self._send_template(
                referrer,
                "commission",
                character_string1=order["order_no"],
                amount2=f"¥{commission / 100:.2f}",
                thing3="冻结中，7 天后结算",
            )

    def _bind(self, openid: str, event_key: str) -> None:
        referrer = event_key.removeprefix("qrscene_")
        if referrer:
            self.referrers[openid] = referrer
            self._send_template(referrer, "joined", thing1="<b>新朋友</b>", phrase2="一级")

    def _send_poster(self, openid: str) -> None:
        scene = {"scene": {"scene_str": openid}}
        wish = {"action_name": "QR_STR_SCENE", "expire_seconds": 3600, "action_info": scene}
        code = self._api("/cgi-bin/qrcode/create", json=wish)
        picture = io.BytesIO()
        segno.make(code["url"], error="m").save(picture, kind="png", scale=8, border=4)
        upload = {"media": ("poster.png", picture.getvalue(), "image/png")}
        media = self._api("/cgi-bin/media/upload", {"type": "image"}, files=upload)
        message = {"touser": openid, "msgtype": "image", "image": {"media_id": media["media_id"]}}
        self._api("/cgi-bin/message/custom/send", json=message)

    def _send_template(self, openid: str, template_id: str, **values: str) -> None:
        data = {name: {"value": value} for name, value in values.items()}
        message = {"touser": openid, "template_id": template_id, "data": data, "url": self.url}
        self._api("/cgi-bin/message/template/send", json=message)

    def _api(
        self, path: str, query: dict[str, str] | None = None, **request: Any
    ) -> dict[str, Any]:
        login = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}
        url = self.simulator_url
        token = requests.post(f"{url}/cgi-bin/stable_token", json=login, timeout=10).json()
        query = (query or {}) | {"access_token": token["access_token"]}
        answered = requests.post(url + path, params=query, timeout=10, **request)
        answer: dict[str, Any] = answered.json()
        assert not answer.get("errcode"), answer
        return answer

    def _control(self, name: str, body: dict[str, Any]) -> None:
        url = f"{self.simulator_url}/_sim/{name}"
        requests.post(url, json=body, timeout=10).raise_for_status()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        merchant = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/cover.svg":
                    self._send(200, COVER, "image/svg+xml")
                else:
                    self._send(200, SHOP_PAGE, "text/html")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.path.startswith("/api/"):
                    merchant.take_order(self.path, json.loads(body))
                    self._send(201, "{}", "application/json")
                    return
                fields = xmltodict.parse(body)["xml"]
                push = {name: value or "" for name, value in fields.items()}
                merchant.pushes.append(push)
                if merchant.breaks:
                    self._send(500, "broken", "text/plain")
                else:
                    self._send(200, _reply(push, merchant.answer(push)), "text/xml")

            def _send(self, status: int, body: str, content_type: str) -> None:
                content = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", f"{content_type}; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Silence: the test's output is for its own words."""

        return Handler


def _text(content: str) -> str:
    return f"<MsgType>text</MsgType><Content>{escape(content)}</Content>"


def _reply(push: dict[str, str], inside: str) -> str:
    if not inside:
        return "success"
    to, sender = push["FromUserName"], push["ToUserName"]
    return (
        f"<xml><ToUserName>{to}</ToUserName><FromUserName>{sender}</FromUserName>"
        f"<CreateTime>{push['CreateTime']}</CreateTime>{inside}</xml>"
    )
