"""The platform's documented sample pushes, one of each message and event, with the type under which WeRoBot files it.

https://developers.weixin.qq.com/doc/service/guide/product/message/Receiving_standard_messages.html
https://developers.weixin.qq.com/doc/service/guide/product/message/Receiving_event_pushes.html
"""

from __future__ import annotations

from typing import Final

OPENID: Final = "oEkvT0Y1fromUser0000000000001"


def _xml(msg_type: str, body: str) -> str:
    return (
        f"<xml><ToUserName><![CDATA[gh_tea]]></ToUserName><FromUserName><![CDATA[{OPENID}]]></FromUserName>"
        f"<CreateTime>1348831860</CreateTime><MsgType><![CDATA[{msg_type}]]></MsgType>{body}</xml>"
    )


def _message(msg_type: str, body: str) -> str:
    return _xml(msg_type, f"{body}<MsgId>1234567890123456</MsgId>")


def _event(event: str, body: str = "") -> str:
    return _xml("event", f"<Event><![CDATA[{event}]]></Event>{body}")


_KEY = "<EventKey><![CDATA[{}]]></EventKey>"
_PICS = (
    _KEY.format("6") + "<SendPicsInfo><Count>1</Count><PicList><item><PicMd5Sum>"
    "<![CDATA[1b5f7c23b5bf75682a53e7b6d163e185]]></PicMd5Sum></item></PicList></SendPicsInfo>"
)
_SCANNED = (
    _KEY.format("6") + "<ScanCodeInfo><ScanType><![CDATA[qrcode]]></ScanType>"
    "<ScanResult><![CDATA[1]]></ScanResult></ScanCodeInfo>"
)

MESSAGES: Final = {
    "text": _message("text", "<Content><![CDATA[this is a test]]></Content>"),
    "image": _message(
        "image",
        "<PicUrl><![CDATA[http://127.0.0.1/p]]></PicUrl><MediaId><![CDATA[media_id]]></MediaId>",
    ),
    "voice": _message(
        "voice",
        "<MediaId><![CDATA[media_id]]></MediaId><Format><![CDATA[amr]]></Format>"
        "<MediaId16K><![CDATA[media_id_16k]]></MediaId16K>",
    ),
    "video": _message(
        "video",
        "<MediaId><![CDATA[media_id]]></MediaId><ThumbMediaId><![CDATA[thumb_media_id]]></ThumbMediaId>",
    ),
    "shortvideo": _message(
        "shortvideo",
        "<MediaId><![CDATA[media_id]]></MediaId><ThumbMediaId><![CDATA[thumb_media_id]]></ThumbMediaId>",
    ),
    "location": _message(
        "location",
        "<Location_X>23.134521</Location_X><Location_Y>113.358803</Location_Y><Scale>20</Scale>"
        "<Label><![CDATA[位置信息]]></Label>",
    ),
    "link": _message(
        "link",
        "<Title><![CDATA[公众平台官网链接]]></Title><Description><![CDATA[公众平台官网链接]]></Description>"
        "<Url><![CDATA[url]]></Url>",
    ),
}
EVENTS: Final = {
    "subscribe_event": _event("subscribe"),
    "scan_event": _event(
        "SCAN", _KEY.format("SCENE_VALUE") + "<Ticket><![CDATA[TICKET]]></Ticket>"
    ),
    "location_event": _event(
        "LOCATION",
        "<Latitude>23.137466</Latitude><Longitude>113.352425</Longitude><Precision>119.385040</Precision>",
    ),
    "click_event": _event("CLICK", _KEY.format("EVENTKEY")),
    "view_event": _event("VIEW", _KEY.format("www.qq.com") + "<MenuId>MENUID</MenuId>"),
    "view_miniprogram_event": _event(
        "view_miniprogram", _KEY.format("pages/index/index") + "<MenuId>MENUID</MenuId>"
    ),
    "scancode_push_event": _event("scancode_push", _SCANNED),
    "scancode_waitmsg_event": _event("scancode_waitmsg", _SCANNED),
    "pic_sysphoto_event": _event("pic_sysphoto", _PICS),
    "pic_photo_or_album_event": _event("pic_photo_or_album", _PICS),
    "pic_weixin_event": _event("pic_weixin", _PICS),
    "location_select_event": _event(
        "location_select",
        _KEY.format("6") + "<SendLocationInfo><Location_X><![CDATA[23]]></Location_X>"
        "<Location_Y><![CDATA[113]]></Location_Y><Scale><![CDATA[15]]></Scale><Label><![CDATA[广州市]]></Label>"
        "<Poiname><![CDATA[]]></Poiname></SendLocationInfo>",
    ),
    "masssendjobfinish_event": _event(
        "MASSSENDJOBFINISH",
        "<MsgID>1000001625</MsgID><Status><![CDATA[err(30003)]]></Status><TotalCount>0</TotalCount>"
        "<FilterCount>0</FilterCount><SentCount>0</SentCount><ErrorCount>0</ErrorCount><CopyrightCheckResult>"
        "<Count>2</Count><ResultList><item><ArticleIdx>1</ArticleIdx><UserDeclareState>0</UserDeclareState></item>"
        "<item><ArticleIdx>2</ArticleIdx><UserDeclareState>0</UserDeclareState></item></ResultList>"
        "<CheckState>2</CheckState></CopyrightCheckResult>",
    ),
    "publishjobfinish_event": _event(
        "PUBLISHJOBFINISH",
        "<PublishEventInfo><publish_id>2247503051</publish_id><publish_status>0</publish_status>"
        "<article_id><![CDATA[ARTICLE_ID]]></article_id><article_detail><count>1</count><item><idx>1</idx>"
        "<article_url><![CDATA[ARTICLE_URL]]></article_url></item></article_detail></PublishEventInfo>",
    ),
    "subscribe_msg_popup_event_event": _event(
        "subscribe_msg_popup_event",
        "<SubscribeMsgPopupEvent><List><TemplateId><![CDATA[T1]]></TemplateId><SubscribeStatusString>"
        "<![CDATA[accept]]></SubscribeStatusString><PopupScene>2</PopupScene></List><List><TemplateId>"
        "<![CDATA[T2]]></TemplateId><SubscribeStatusString><![CDATA[reject]]></SubscribeStatusString>"
        "<PopupScene>2</PopupScene></List></SubscribeMsgPopupEvent>",
    ),
    "subscribe_msg_change_event_event": _event(
        "subscribe_msg_change_event",
        "<SubscribeMsgChangeEvent><List><TemplateId><![CDATA[T1]]></TemplateId><SubscribeStatusString>"
        "<![CDATA[reject]]></SubscribeStatusString></List></SubscribeMsgChangeEvent>",
    ),
    "user_info_modified_event": _event(
        "user_info_modified",
        "<OpenID><![CDATA[oOther]]></OpenID><AppID>wxtea</AppID><RevokeInfo>1</RevokeInfo>",
    ),
    "user_authorization_revoke_event": _event(
        "user_authorization_revoke",
        "<OpenID><![CDATA[oOther]]></OpenID><AppID>wxtea</AppID><RevokeInfo>1</RevokeInfo>",
    ),
    "user_authorization_cancellation_event": _event(
        "user_authorization_cancellation",
        "<OpenID><![CDATA[oOther]]></OpenID><AppID>wxtea</AppID><RevokeInfo>1</RevokeInfo>",
    ),
    "unsubscribe_event": _event("unsubscribe", _KEY.format("")),
}
UNKNOWN: Final = {
    "qualification_verify_success_event": _event(
        "qualification_verify_success", "<ExpiredTime>1442401156</ExpiredTime>"
    ),
    "sticker": _message("sticker", ""),
}
RESULTS: Final = {
    "templatesendjobfinish_event": _event(
        "TEMPLATESENDJOBFINISH", "<MsgID>200163836</MsgID><Status><![CDATA[success]]></Status>"
    ),
    "subscribe_msg_sent_event_event": _event(
        "subscribe_msg_sent_event",
        "<SubscribeMsgSentEvent><List><TemplateId><![CDATA[T1]]></TemplateId><MsgID>1700827132819554304</MsgID>"
        "<ErrorCode>0</ErrorCode><ErrorStatus><![CDATA[success]]></ErrorStatus></List></SubscribeMsgSentEvent>",
    ),
}
"""They speak of messages that were sent, so they need one."""
