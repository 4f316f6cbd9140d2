// What the pages ask the server: calls that answer in JSON, and streams of events. Who asks is told by
// the session's cookie, which no script can read.

const root = document.documentElement.dataset.root;

/** Addresses of this server begin with it. */
export const base = location.origin + root;

/** An answer that says what is wrong; `details` names the fields. */
export class ApiError extends Error {
  constructor(status, body, headers) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.code = body?.code ?? "";
    this.details = body?.details ?? [];
    this.body = body;
    this.retryAfterS = Number(headers.get("retry-after") ?? 0);
  }
}

/** Call a route; `path` begins with a slash. Answers with what came as JSON. */
export async function call(method, path, body, headers = {}) {
  const response = await send(method, path, body, headers);
  return response.status === 204 ? null : response.json();
}

/** The events of a stream, each with `id`, `name` and `data`; `after` is the id of the last one heard. */
export async function* events(path, after, signal) {
  const headers = after ? { "last-event-id": after } : {};
  const response = await send("GET", path, undefined, headers, signal);
  if (response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event.name) yield event;
    }
  }
}

function parse(block) {
  const lines = block.split("\n").map((line) => line.split(/: (.*)/s));
  const fields = Object.fromEntries(lines);
  return { id: fields.id, name: fields.event, data: fields.data && JSON.parse(fields.data) };
}

async function send(method, path, body, headers, signal) {
  const request = { method, signal, headers: { ...headers }, cache: "no-store" };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const response = await fetch(root + path, request);
  const credits = response.headers.get("x-remaining-credits");
  if (credits !== null) document.dispatchEvent(new CustomEvent("credits", { detail: credits }));
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  if (response.status === 401) document.dispatchEvent(new CustomEvent("signed-out"));
  throw new ApiError(response.status, answer, response.headers);
}
