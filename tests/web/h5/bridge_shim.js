// What stands for WeChat's JS-SDK and its bridge in these tests: remembers what it was given, answers as it is told.
(() => {
  const asked = { config: null, invoked: [] };
  let ready = () => {};
  window.wx = {
    config(values) { asked.config = values; setTimeout(() => ready(), 0); },
    ready(then) { ready = then; },
    error() {},
  };
  window.WeixinJSBridge = {
    invoke(name, values, then) {
      asked.invoked.push({ name, values });
      setTimeout(() => then({ err_msg: `${name}:${window.shimAnswer || "ok"}` }), 0);
    },
  };
  window.shim = asked;
})();
