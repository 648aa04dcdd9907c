// wechat-api from npm, unchanged: its address is fixed in its code, so WeChat's names are led to the simulator here.
"use strict";
const assert = require("node:assert");
const tls = require("node:tls");
const { createRequire } = require("node:module");

const [, , folder, port, appId, secret, openid] = process.argv;
const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect(options.host === "api.weixin.qq.com" ? { ...options, host: "127.0.0.1", port: Number(port), servername: options.host } : options, ...rest);

const API = createRequire(`${folder}/`)("wechat-api");
const api = new API(appId, secret);
const call = (name, ...given) => new Promise((done, failed) => api[name](...given, (error, answer) => (error ? failed(error) : done(answer))));

(async () => {
  await call("createMenu", { button: [{ type: "click", name: "我的团队", key: "TEAM" }] });
  assert.equal((await call("getMenu")).menu.button[0].name, "我的团队");
  assert.equal((await call("getUser", openid)).subscribe, 1);
  await call("sendText", openid, "你好");
  assert.ok((await call("createTmpQRCode", 7, 60)).ticket);
  await assert.rejects(call("getUser", "nobody"), (error) => error.code === 40003);
  console.log("ok");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
