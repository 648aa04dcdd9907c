"""What the platform says when it refuses: numbers, and the words that come with them.

Error codes: https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html
"""

WORDS = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40005: "invalid file type",
    40006: "invalid meida size",
    40007: "invalid media_id",
    40008: "invalid message type",
    40009: "invalid image size",
    40013: "invalid appid",
    40014: "invalid access_token",
    40016: "invalid button size",
    40017: "invalid button type",
    40018: "invalid button name size",
    40019: "invalid button key size",
    40020: "invalid button url size",
    40023: "invalid sub button size",
    40024: "invalid sub button type",
    40025: "invalid sub button name size",
    40026: "invalid sub button key size",
    40027: "invalid sub button url size",
    40029: "invalid code",
    40030: "invalid refresh_token",
    40032: "invalid openid list size",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail",
    40035: "invalid parameter",
    40037: "invalid template_id",
    40052: "invalid action name",
    40053: "invalid action info, please check document",
    40054: "invalid sub button url domain",
    40055: "invalid button url domain",
    40059: "invalid message id",
    40066: "invalid url",
    40092: "invalid remark",
    40097: "invalid args",
    40114: "invalid index value",
    40125: "invalid appsecret",
    40130: "invalid openid list size, at least two openid",
    40152: "invalid tag id",
    40163: "code been used",
    40164: "invalid ip {detail} ipv6 ::ffff:{detail}, not in whitelist",
    40200: "invalid account type",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41005: "media data missing",
    41008: "missing code",
    42001: "access_token expired",
    42002: "refresh_token expired",
    42003: "code expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    43101: "user refuse to accept the msg",
    43116: "this template is restricted",
    44001: "empty media data",
    44002: "empty post data",
    44003: "empty news data",
    44004: "empty content",
    45001: "media size out of limit",
    45002: "content size out of limit",
    45003: "title size out of limit",
    45004: "description size out of limit",
    45005: "url size out of limit",
    45008: "article size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45029: "qrcode count out of limit",
    45028: "has no masssend quota",
    45047: "out of response count limit",
    45056: "too many tags now, no need to add new",
    45057: "can't delete the tag that has too many fans",
    45058: "can't modify sys tag",
    45059: "can not tagging the user more than 20 tags",
    45072: "invalid command",
    45080: "cannot send typing status: no message in the last 30 seconds",
    45081: "typing already set",
    45157: "invalid tag name",
    45158: "tag name too long",
    45159: "invalid tag id",
    45169: "tag of this user is being changed, please try again later",
    45171: "part of openid list failed",
    45065: "clientmsgid exist",
    45066: "same clientmsgid retry too fast",
    45067: "clientmsgid size out of limit",
    45083: "the range of speed is invalid",
    45084: "no speed parameter",
    45110: "author size out of limit",
    45113: "no such card",
    46003: "menu no exist",
    47001: "data format error",
    47003: "argument invalid! {detail}",
    48001: "api unauthorized",
    48006: "forbid to clear quota because of reaching the limit",
    65301: "menuid not exist",
    65302: "no such user",
    65303: "there is no selfmenu, please create selfmenu first",
    65304: "match rule empty",
    65307: "conditional menu empty",
    65316: "has too many link out domains, no more than 3 domains",
    65320: "match rule of privacy fields is not supported any more",
    53503: "the draft has not passed the publish check",
    53504: "the draft needs to be used by the publish page",
    53600: "invalid article id",
    76001: "rid not found",
    76002: "invalid rid",
    76003: "could not query this rid or cgi_path, please check",
    76004: "rid is expired, api data only in the last 7 days",
    76021: "cgi_path not found, please check",
    76022: "could not use this cgi_path, no permission",
    89504: "this mass message waits for the confirmation of an administrator",
    89505: "an administrator refused this mass message",
}


class ApiError(Exception):
    """A refusal: HTTP 200 with `errcode`; `detail` goes into the words or, where they have no place for it, behind."""

    def __init__(
        self, errcode: int, detail: str = "", fields: dict[str, object] | None = None
    ) -> None:
        super().__init__(errcode, detail)
        self.errcode = errcode
        self.detail = detail
        self.fields = fields or {}

    def answer(self, rid: str) -> dict[str, object]:
        """The JSON body, with the request id at the end of the words."""
        words = WORDS.get(self.errcode, "refused on request")
        text = words.format(detail=self.detail) if "{detail}" in words else words
        if self.detail and "{detail}" not in words:
            text = f"{text} hint: [{self.detail}]"
        return {"errcode": self.errcode, "errmsg": f"{text} rid: {rid}", **self.fields}


class ControlError(Exception):
    """A mistake in using the control API: the caller reads `message`, `status` is the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
