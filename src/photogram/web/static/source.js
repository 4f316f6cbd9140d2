// The picture that a request begins from, and the mask that says which part of it is painted anew.
// Files stay here until a request needs them; then they are uploaded, once.

import { call } from "./api.js";
import { complain, element } from "./words.js";

const MOST_BYTES = 14_000_000; // in base64 it is a third more, and 20 MiB is all that an upload may be
const TYPES = ["image/png", "image/jpeg", "image/webp"];

export class Source {
  /** `onChange` is called when there is another picture, or none. */
  constructor(onChange) {
    this.node = element("source");
    if (!this.node) return; // the server takes no pictures
    this.onChange = onChange;
    this.image = element("source-image");
    this.canvas = element("source-mask");
    element("image-file").addEventListener("change", ({ target }) => this.take(target.files[0]));
    element("source-remove").addEventListener("click", () => this.remove());
    element("source-clear").addEventListener("click", () => this.clearMask());
    this.acceptDrops();
    this.acceptStrokes();
  }

  /** Whether there is a picture. */
  get isGiven() {
    return Boolean(this.picture);
  }

  /** Take a picture, which may have an address on the server; the next requests begin from it. */
  async take(file, url) {
    if (!file) return;
    complain(element("image-problem"), wrongWith(file));
    if (wrongWith(file)) return;
    this.picture = { dataUrl: await dataUrlOf(file), url };
    this.image.src = this.picture.dataUrl;
    try {
      await this.image.decode();
    } catch {
      this.remove();
      complain(element("image-problem"), "image cannot be read; the file may be damaged");
      return;
    }
    this.canvas.width = this.image.naturalWidth;
    this.canvas.height = this.image.naturalHeight;
    this.clearMask();
    this.show(true);
  }

  /** Begin from noise again. */
  remove() {
    this.picture = undefined;
    this.mask = undefined;
    element("image-file").value = "";
    this.image.removeAttribute("src");
    this.show(false);
  }

  /** What a request says of it; the files are uploaded where they are not. */
  async fields({ withMask }) {
    if (!this.isGiven) return {};
    if (withMask && this.isMasked && !this.mask) this.mask = { dataUrl: this.maskUrl() };
    const given = { image: this.picture, ...(withMask && this.mask && { mask: this.mask }) };
    const fields = {};
    for (const [name, file] of Object.entries(given)) {
      file.url ??= await upload(file.dataUrl);
      fields[name] = file.url;
    }
    return fields;
  }

  /** Say how many steps really run. */
  tellSteps({ steps, steps_executed: executed }) {
    if (this.isGiven) element("source-steps").textContent = `${executed} of ${steps} steps run`;
  }

  show(isGiven) {
    this.node.classList.toggle("is-given", isGiven);
    for (const part of this.node.querySelectorAll("[data-given]")) part.hidden = !isGiven;
    this.onChange();
  }

  acceptDrops() {
    for (const name of ["dragenter", "dragover"]) {
      this.node.addEventListener(name, (event) => {
        event.preventDefault();
        this.node.classList.add("is-over");
      });
    }
    this.node.addEventListener("dragleave", ({ relatedTarget }) => {
      if (!this.node.contains(relatedTarget)) this.node.classList.remove("is-over");
    });
    this.node.addEventListener("drop", (event) => {
      event.preventDefault();
      this.node.classList.remove("is-over");
      this.take(event.dataTransfer.files[0]);
    });
  }

  /** Strokes on the picture are its mask. */
  acceptStrokes() {
    const pen = this.canvas.getContext("2d");
    const at = ({ offsetX, offsetY }) => {
      const scale = this.canvas.width / this.canvas.clientWidth;
      return [offsetX * scale, offsetY * scale];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      pen.lineWidth = (this.canvas.width * element("source-brush").valueAsNumber) / 100;
      pen.lineCap = pen.lineJoin = "round";
      pen.strokeStyle = "#fff";
      pen.beginPath();
      pen.moveTo(...at(event));
      this.draw(pen, at(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) this.draw(pen, at(event));
    });
  }

  draw(pen, point) {
    pen.lineTo(...point);
    pen.stroke();
    this.isMasked = true;
    this.mask = undefined;
    element("source-clear").disabled = false;
  }

  clearMask() {
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.isMasked = false;
    this.mask = undefined;
    element("source-clear").disabled = true;
  }

  /** The mask as a file: white where it was painted on, black elsewhere. */
  maskUrl() {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [this.canvas.width, this.canvas.height];
    const pen = copy.getContext("2d");
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.drawImage(this.canvas, 0, 0);
    return copy.toDataURL("image/png");
  }
}

function wrongWith(file) {
  if (!TYPES.includes(file.type)) return "image must be a PNG, JPEG or WebP file";
  if (file.size > MOST_BYTES) return `image must have at most ${MOST_BYTES / 1e6} MB, and has ${Math.ceil(file.size / 1e6)}`;
  return "";
}

function dataUrlOf(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function upload(dataUrl) {
  const answer = await call("POST", "/upload-asset", { data_urls: [dataUrl] });
  return answer.file_urls[0];
}
