// The adapters of a model: which are chosen, and how strong each is.

import { element } from "./words.js";

export class Adapters {
  constructor() {
    this.node = element("loras");
    this.rows = [];
  }

  /** Offer these, none of them chosen. */
  offer(names) {
    if (!this.node) return;
    this.node.hidden = !names.length;
    for (const { row } of this.rows) row.remove();
    this.rows = names.map((name) => this.row(name));
  }

  /** What a request says of them: nothing, if none is chosen. */
  fields() {
    const chosen = this.rows.filter(({ box }) => box.checked);
    const loras = chosen.map(({ name, scale }) => ({ name, scale: scale.valueAsNumber }));
    return loras.length ? { loras } : {};
  }

  row(name) {
    const row = this.node.querySelector("template").content.firstElementChild.cloneNode(true);
    const [box, scale] = row.querySelectorAll("input");
    row.querySelector("span").textContent = name;
    scale.setAttribute("aria-label", `Scale of ${name}`);
    scale.addEventListener("input", () => (row.querySelector("output").value = scale.value));
    this.node.append(row);
    return { name, row, box, scale };
  }
}
