// The control API of the simulator (see /_sim/docs). Every call answers JSON or throws ApiError.

export class ApiError extends Error {}

// The API speaks to developers, in English; the people with the phones read this.
const REFUSALS = { 404: "没有找到", 409: "现在不能这样做", 410: "该二维码已过期", 422: "没有识别到二维码" };

async function request(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new ApiError(`模拟器答复了 HTTP ${response.status}`);
  }
  if (!response.ok) {
    console.warn(method, path, response.status, answer.error);
    throw new ApiError(REFUSALS[response.status] ?? answer.error ?? `模拟器答复了 HTTP ${response.status}`);
  }
  return answer;
}

export const get = (path) => request("GET", path);
export const post = (path, body = {}) => request("POST", path, body);
