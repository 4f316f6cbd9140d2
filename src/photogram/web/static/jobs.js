// Jobs under way: each is followed to its end, over lost connections and restarts of the server.

import { ApiError, call, events } from "./api.js";
import { announce, copyOf, count, duration, element, pause, wordsOf } from "./words.js";

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 3000;
const LONGEST_WAIT_MS = 8000;
// A browser opens six connections to a server, for all of its tabs together.
const MOST_STREAMS = 2;

/** So many previews of each picture are asked for. */
export const MOST_PREVIEWS = JSON.parse(element("data").textContent).previews;

let streams = 0;

/** One job on the page. `onEnd(answer)` is told the answer with its pictures, if it has any. */
export class Job {
  constructor(id, prompt, numPictures, onEnd) {
    this.id = id;
    this.path = `/v2/requests/${id}`;
    this.onEnd = onEnd;
    this.failures = 0;
    this.numPreviews = 0;
    this.node = copyOf("job-template");
    this.words = this.node.querySelector(".job-state");
    this.bar = this.node.querySelector("progress");
    this.node.querySelector(".prompt").textContent = prompt ?? "";
    this.tiles = [...Array(numPictures)].map(waitingTile);
    this.node.querySelector(".job-previews").append(...this.tiles);
    this.button = this.node.querySelector(".job-cancel");
    this.button.addEventListener("click", () => (this.isOver ? this.node.remove() : this.cancel()));
    element("jobs").prepend(this.node);
    this.say("Waiting for its turn");
  }

  /** Follow it until it has ended. */
  async follow() {
    while (!this.isOver) {
      try {
        await this.look();
        this.failures = 0;
      } catch (error) {
        await this.bear(error);
      }
    }
  }

  /** Ask the server to stop it. */
  async cancel() {
    this.button.disabled = true;
    try {
      this.show(await call("POST", `${this.path}/cancel`));
    } catch (error) {
      this.button.disabled = false;
      this.say(wordsOf(error));
    }
  }

  /** Take it off the page, and follow it no more. */
  remove() {
    this.isOver = true;
    this.stream?.abort();
    this.node.remove();
  }

  /** Listen to it where that can be, or else look once how far it is. */
  async look() {
    if (!document.hidden && streams < MOST_STREAMS) {
      await this.listen();
    } else {
      const status = await statusOf(this.path);
      this.show(status);
      if (status.status === "COMPLETED") await this.finish();
    }
    if (!this.isOver) await pause(document.hidden ? HIDDEN_POLL_MS : POLL_MS);
  }

  async listen() {
    streams += 1;
    this.stream = new AbortController();
    const queue = setInterval(() => this.lookAtQueue(), POLL_MS);
    try {
      for await (const event of events(`${this.path}/events`, this.heard, this.stream.signal)) {
        this.heard = event.id;
        clearInterval(queue);
        if (event.name === "progress") this.advance(event.data);
        else if (event.name === "completed") await this.finish(event.data);
        else if (event.name === "error") this.show(event.data);
      }
    } finally {
      clearInterval(queue);
      streams -= 1;
    }
  }

  async lookAtQueue() {
    try {
      const status = await statusOf(this.path);
      if (status.status === "QUEUED") this.show(status);
    } catch {
      // the stream is what tells of a server that is gone
    }
  }

  show(status) {
    if (status.status === "FAILED") this.fail(status);
    else if (status.status === "PROCESSING") this.proceed(status.progress);
    else if (status.status === "QUEUED") this.say(queueWords(status));
  }

  advance({ step, steps, index, preview, content_type: type }) {
    if (preview) this.preview(index, `data:${type};base64,${preview}`);
    // Of several pictures the last one counts, which may not have begun: previews tell of the others.
    const previewed = this.numPreviews / (Math.min(MOST_PREVIEWS, steps) * this.tiles.length);
    this.proceed(Math.max(step / steps, Math.min(previewed, 0.99)), step ? `Painting: step ${step} of ${steps}` : "Painting");
  }

  preview(index, url) {
    const image = new Image();
    image.src = url;
    image.alt = `What picture ${index + 1} looks like so far`;
    this.numPreviews += 1;
    this.tiles[index].replaceWith(image);
    this.tiles[index] = image;
  }

  proceed(share, words = "Painting") {
    this.bar.value = share;
    this.say(words);
  }

  async finish(answer) {
    const ended = answer ?? (await call("GET", this.path));
    await this.onEnd(ended);
    this.remove();
    announce(`${count(ended.images.length, "picture")} finished`);
  }

  fail({ error, code }) {
    this.isOver = true;
    this.stream?.abort();
    if (code === "cancelled") {
      this.node.remove();
      announce("Cancelled; nothing was billed");
      return;
    }
    this.node.classList.add("has-failed");
    this.say(error);
    announce(error);
    this.bar.remove();
    this.tiles.forEach((tile) => tile.classList.remove("is-waiting"));
    this.button.textContent = "Dismiss";
    this.button.disabled = false;
  }

  /** What went wrong may pass, and then the job goes on. */
  async bear(error) {
    if (this.isOver) return;
    if (error instanceof ApiError && [401, 403, 404].includes(error.status)) {
      this.remove();
      return;
    }
    this.failures += 1;
    this.say(`The connection is lost; trying again (${wordsOf(error)})`);
    const wait = Math.min(500 * 2 ** this.failures, LONGEST_WAIT_MS);
    await pause(Math.max(wait, (error.retryAfterS ?? 0) * 1000));
  }

  say(words) {
    this.words.textContent = words;
  }
}

function waitingTile() {
  const tile = document.createElement("div");
  tile.className = "is-waiting";
  return tile;
}

/** How far a job is; of one that has failed, why. */
async function statusOf(path) {
  try {
    return await call("GET", `${path}/status`);
  } catch (error) {
    if (error.status === 422) return error.body;
    throw error;
  }
}

function queueWords({ queue_position: position, start_s: start }) {
  if (!position) return "Waiting for its turn";
  const place = position === 1 ? "Next in line" : `${position - 1} ahead of it`;
  return start ? `${place}; starts in about ${duration(start)}` : place;
}
