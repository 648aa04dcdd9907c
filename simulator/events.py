"""Every event that the platform may push, with the fields it has: for whoever wants to see one arrive.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html
"""

from typing import Any

_LOCATION = {"Latitude": "23.137466", "Longitude": "113.352425", "Precision": "119.385040"}
_SCAN = {"ScanCodeInfo": {"ScanType": "qrcode", "ScanResult": "1"}}
_PICTURES = {"SendPicsInfo": {"Count": 1, "PicList": {"item": {"PicMd5Sum": "0" * 32}}}}
_PLACE = {
    "SendLocationInfo": {
        "Location_X": "23.1",
        "Location_Y": "113.3",
        "Scale": "15",
        "Label": "广州市海珠区",
        "Poiname": "",
    }
}
_ARTICLE = {"ArticleIdx": 1, "UserDeclareState": 0, "AuditState": 2, "OriginalArticleUrl": ""}
_MASS = {
    "MsgID": 1000001,
    "Status": "send success",
    "TotalCount": 1,
    "FilterCount": 1,
    "SentCount": 1,
    "ErrorCount": 0,
    "CopyrightCheckResult": {"Count": 1, "ResultList": {"item": _ARTICLE}, "CheckState": 2},
}
_PUBLISHED = {
    "PublishEventInfo": {
        "publish_id": "2247503051",
        "publish_status": 0,
        "article_id": "b5O2OUs25HBxRceL7hfReg-U9QGeq9zQjiDvy",
        "article_detail": {
            "count": 1,
            "item": {"idx": 1, "article_url": "https://mp.weixin.qq.com/s/a"},
        },
    }
}
_POPUP = {"TemplateId": "TEMPLATE", "SubscribeStatusString": "accept", "PopupScene": 1}
_REFUSED = {"TemplateId": "TEMPLATE", "SubscribeStatusString": "reject"}
_SENT = {"TemplateId": "TEMPLATE", "MsgID": "1000002", "ErrorCode": 0, "ErrorStatus": "success"}
# {openid}, {app_id} and {now} are filled in; a number that stands alone stays a number.
SAMPLES: dict[str, dict[str, Any]] = {
    "LOCATION": _LOCATION,
    "view_miniprogram": {"EventKey": "pages/index", "MenuId": "1"},
    "scancode_push": {"EventKey": "scan", **_SCAN},
    "scancode_waitmsg": {"EventKey": "scan", **_SCAN},
    "pic_sysphoto": {"EventKey": "picture", **_PICTURES},
    "pic_photo_or_album": {"EventKey": "picture", **_PICTURES},
    "pic_weixin": {"EventKey": "picture", **_PICTURES},
    "location_select": {"EventKey": "place", **_PLACE},
    "TEMPLATESENDJOBFINISH": {"MsgID": 1000000, "Status": "success"},
    "MASSSENDJOBFINISH": _MASS,
    "PUBLISHJOBFINISH": _PUBLISHED,
    "subscribe_msg_popup_event": {"SubscribeMsgPopupEvent": {"List": _POPUP}},
    "subscribe_msg_change_event": {"SubscribeMsgChangeEvent": {"List": _REFUSED}},
    "subscribe_msg_sent_event": {"SubscribeMsgSentEvent": {"List": _SENT}},
    "user_info_modified": {"OpenID": "{openid}", "AppID": "{app_id}", "RevokeInfo": "1"},
    "user_authorization_revoke": {"OpenID": "{openid}", "AppID": "{app_id}", "RevokeInfo": "1"},
    "user_authorization_cancellation": {"OpenID": "{openid}", "AppID": "{app_id}"},
    "qualification_verify_success": {"ExpiredTime": "{now}"},
    "qualification_verify_fail": {"FailTime": "{now}", "FailReason": "by time"},
    "naming_verify_success": {"ExpiredTime": "{now}"},
    "naming_verify_fail": {"FailTime": "{now}", "FailReason": "by time"},
    "annual_renew": {"ExpiredTime": "{now}"},
    "verify_expired": {"ExpiredTime": "{now}"},
}


def sample(event: str, app_id: str, openid: str, now: int) -> dict[str, Any]:
    """The usual fields of this event (a key of SAMPLES) for this person and this moment."""
    words = {"{openid}": openid, "{app_id}": app_id, "{now}": now}
    return {
        name: words.get(value, value) if isinstance(value, str) else value
        for name, value in SAMPLES[event].items()
    }
