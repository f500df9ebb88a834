export const API_URL = import.meta.env.VITE_API_URL ?? window.location.origin;

async function request(method, path, body) {
  const response = await fetch(API_URL + path, {
    method,
    credentials: "include",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : null;
  if (!response.ok) throw new Error(answer?.error ?? `The server answered ${response.status}`);
  return answer;
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
