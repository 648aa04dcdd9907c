// Pushes and API calls in Chinese, for the log.

const EVENTS = {
  subscribe: (fields) => (fields.EventKey?.startsWith("qrscene_") ? "扫码关注" : "关注"),
  unsubscribe: () => "取消关注",
  scan: () => "扫码（已关注）",
  click: (fields) => `点菜单「${fields.EventKey}」`,
  view: (fields) => `打开网页 ${fields.EventKey}`,
  templatesendjobfinish: (fields) => `模板消息送达结果：${fields.Status}`,
  masssendjobfinish: (fields) => `群发结果：${fields.Status}，送达 ${fields.SentCount} 人`,
  publishjobfinish: (fields) => `发布结果：${fields.PublishEventInfo?.publish_status === 0 ? "成功" : "未成功"}`,
};

const MESSAGES = { image: "发来图片", voice: "发来语音", video: "发来视频", shortvideo: "发来小视频", location: "发来位置", link: "发来链接" };

export function pushWords(fields) {
  const type = String(fields.MsgType ?? "");
  if (type === "text") return `说「${fields.Content}」`;
  if (type !== "event") return MESSAGES[type] ?? `消息 ${type}`;
  const event = String(fields.Event ?? "");
  return EVENTS[event.toLowerCase()]?.(fields) ?? `事件 ${event}`;
}

const REPLIES = { text: "回复文字", image: "回复图片", voice: "回复语音", video: "回复视频", music: "回复音乐", news: "回复图文", transfer_customer_service: "转人工客服", malformed: "回复读不懂" };

export function replyWords(reply, delivery) {
  if (reply) return REPLIES[reply.type] ?? `回复 ${reply.type}`;
  return delivery && delivery.status >= 200 && delivery.status < 300 ? "收下，不回复" : "没有回复";
}

const CALLS = {
  "/cgi-bin/token": "取 access_token",
  "/cgi-bin/stable_token": "取稳定版 access_token",
  "/cgi-bin/qrcode/create": "生成带参二维码",
  "/cgi-bin/showqrcode": "下载二维码",
  "/cgi-bin/media/upload": "上传素材",
  "/cgi-bin/media/get": "下载素材",
  "/cgi-bin/media/uploadimg": "上传图文图片",
  "/cgi-bin/message/template/send": "发模板消息",
  "/cgi-bin/message/subscribe/bizsend": "发订阅通知",
  "/cgi-bin/message/custom/send": "发客服消息",
  "/cgi-bin/message/custom/typing": "显示正在输入",
  "/cgi-bin/message/mass/sendall": "群发",
  "/cgi-bin/message/mass/send": "按名单群发",
  "/cgi-bin/message/mass/preview": "群发预览",
  "/cgi-bin/message/mass/get": "查群发结果",
  "/cgi-bin/message/mass/delete": "删除群发",
  "/cgi-bin/message/mass/speed/get": "读群发速度",
  "/cgi-bin/message/mass/speed/set": "改群发速度",
  "/cgi-bin/draft/add": "新建草稿",
  "/cgi-bin/draft/get": "读草稿",
  "/cgi-bin/draft/update": "改草稿",
  "/cgi-bin/draft/delete": "删草稿",
  "/cgi-bin/draft/batchget": "列草稿",
  "/cgi-bin/freepublish/submit": "发布图文",
  "/cgi-bin/freepublish/get": "查发布结果",
  "/cgi-bin/material/add_material": "上传永久素材",
  "/cgi-bin/menu/create": "创建菜单",
  "/cgi-bin/menu/get": "读菜单",
  "/cgi-bin/menu/delete": "删除菜单",
  "/cgi-bin/user/info": "读用户资料",
  "/cgi-bin/user/get": "读关注者名单",
  "/cgi-bin/ticket/getticket": "取 JS-SDK ticket",
  "/cgi-bin/clear_quota": "清零调用次数",
  "/sns/oauth2/access_token": "网页授权换 openid",
  "/v3/pay/transactions/jsapi": "微信支付下单",
  "/v3/fund-app/mch-transfer/transfer-bills": "商家转账",
  "/v3/refund/domestic/refunds": "微信支付退款",
};

export function callWords(path) {
  return CALLS[path] ?? "调用接口";
}

export function reportWords(report) {
  if (report.path.endsWith("/complete")) return `确认收货 ${report.order_no}`;
  if (report.path.endsWith("/refunds")) return `退款 ${report.order_no}`;
  return `下单付款 ${report.order_no}`;
}
