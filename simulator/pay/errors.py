"""What WeChat Pay says when it refuses: an HTTP status, a code, and words.

https://pay.weixin.qq.com/doc/v3/merchant/4012081709
"""

STATUS = {
    "PARAM_ERROR": 400,
    "INVALID_REQUEST": 400,
    "NO_STATEMENT_EXIST": 400,
    "STATEMENT_CREATING": 400,
    "APPID_MCHID_NOT_MATCH": 400,
    "MCH_NOT_EXISTS": 400,
    "ORDER_CLOSED": 400,
    "SIGN_ERROR": 401,
    "NO_AUTH": 403,
    "NOT_ENOUGH": 403,
    "OUT_TRADE_NO_USED": 403,
    "RULE_LIMIT": 403,
    "TRADE_ERROR": 403,
    "USER_ACCOUNT_ABNORMAL": 403,
    "NOT_FOUND": 404,
    "ORDER_NOT_EXIST": 404,
    "RESOURCE_NOT_EXISTS": 404,
    "FREQUENCY_LIMITED": 429,
    "SYSTEM_ERROR": 500,
}


class PayError(Exception):
    """A refusal by `code`, one of STATUS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = STATUS[code]
