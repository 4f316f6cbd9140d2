// The settings of the page as code that runs, in the languages and SDKs that people use.

import { base } from "./api.js";
import { announce, element, openDialog, pause } from "./words.js";

const KEY = "YOUR_API_KEY";

/** Each takes the settings, the model's name in paths, and its size; and answers with code. */
const LANGUAGES = [
  { name: "curl", needs: "", code: curl },
  { name: "Python · segmind", needs: "pip install segmind", code: segmind },
  { name: "Python · openai", needs: "pip install openai", code: openai },
  { name: "Python · requests", needs: "pip install requests", code: requests },
  { name: "JavaScript · axios", needs: "npm install axios", code: axios },
];

function curl(settings, slug) {
  const several = settings.samples > 1;
  const lines = [
    `curl -sS --fail-with-body -X POST ${base}/v1/${slug}`,
    `-H 'x-api-key: ${KEY}'`,
    `-H 'Content-Type: application/json'`,
    ...(several ? ["-H 'Accept: application/zip'"] : []),
    `-d '${JSON.stringify(settings, null, 4).replaceAll("'", "'\\''").replace(/\}$/, "  }")}'`,
    `-o ${several ? "pictures.zip" : fileName(settings)}`,
  ];
  return lines.join(" \\\n  ");
}

function segmind(settings, slug) {
  return `from segmind import SegmindClient
${settings.samples > 1 ? "from base64 import b64decode\n" : ""}
client = SegmindClient(api_key="${KEY}", base_url="${base}/v1", timeout=300)
response = client.run_sync(
    "${slug}",
${pythonArguments(settings)}
)
${saved(settings)}`;
}

function requests(settings, slug) {
  return `import requests
${settings.samples > 1 ? "from base64 import b64decode\n" : ""}
response = requests.post(
    "${base}/v1/${slug}",
    headers={"x-api-key": "${KEY}"},
    json={
${pythonEntries(settings)}
    },
    timeout=300,
)
response.raise_for_status()
${saved(settings)}`;
}

function openai(settings, slug, size) {
  const { prompt, samples, output_format: format, output_quality: quality, image, mask } = settings;
  const given = {
    model: slug, prompt, n: samples, ...(!image && { size: size.join("x") }),
    output_format: format === "jpg" ? "jpeg" : format, output_compression: quality,
  };
  const own = ["steps", "guidance", "seed", ...(image ? ["prompt_strength"] : []), "loras"].filter((name) => name in settings);
  const files = [
    ...(image ? [`    image=open("image.png", "rb"),`] : []),
    ...(mask ? [`    mask=open("mask.png", "rb"),  # transparent where it is painted`] : []),
  ];
  const names = samples > 1 ? `f"picture-{number}.${format}"` : `"${fileName(settings)}"`;
  return `from base64 import b64decode
from openai import OpenAI

client = OpenAI(api_key="${KEY}", base_url="${base}/v1")
answer = client.images.${image ? "edit" : "generate"}(
${[...files, pythonArguments(given)].join("\n")}
    extra_body={${own.map((name) => `"${name}": ${python(settings[name])}`).join(", ")}},
)
for number, image in enumerate(answer.data):
    with open(${names}, "wb") as file:
        file.write(b64decode(image.b64_json))
`;
}

function axios(settings, slug) {
  const several = settings.samples > 1;
  return `const axios = require('axios');
const fs = require('fs');

const api_key = "${KEY}";
const url = "${base}/v1/${slug}";

const data = ${JSON.stringify(settings, null, 2)};

(async function () {
  try {
    const response = await axios.post(url, data, {
      headers: { 'x-api-key': api_key${several ? ", 'Accept': 'application/zip'" : ""} },
      responseType: 'arraybuffer'
    });
    fs.writeFileSync('${several ? "pictures.zip" : fileName(settings)}', response.data);
  } catch (error) {
    console.error('Error:', error.response ? error.response.data.toString() : error.message);
    process.exitCode = 1;
  }
})();
`;
}

const fileName = (settings) => `picture.${settings.output_format}`;

/** A value as Python writes it; its strings are those of JSON. */
const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));

const pythonArguments = (settings) =>
  Object.entries(settings).map(([name, value]) => `    ${name}=${python(value)},`).join("\n");

const pythonEntries = (settings) =>
  Object.entries(settings).map(([name, value]) => `        "${name}": ${python(value)},`).join("\n");

function saved(settings) {
  if (settings.samples > 1) {
    return `for number, image in enumerate(response.json()["images"]):
    with open(f"picture-{number}.${settings.output_format}", "wb") as file:
        file.write(b64decode(image["image"]))
`;
  }
  return `with open("${fileName(settings)}", "wb") as file:
    file.write(response.content)
`;
}

export class Code {
  constructor(form) {
    this.form = form;
    this.chosen = 0;
    this.tabs = LANGUAGES.map((language, index) => this.tab(language, index));
    element("code-dialog").querySelector(".tabs").append(...this.tabs);
    element("show-code").addEventListener("click", () => this.open());
    element("copy").addEventListener("click", () => this.copy());
  }

  async open() {
    try {
      this.settings = await this.form.request();
    } catch (error) {
      this.form.complain(error);
      return;
    }
    this.show(this.chosen);
    openDialog(element("code-dialog"));
  }

  tab(language, index) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.id = `code-tab-${index}`;
    tab.textContent = language.name;
    tab.setAttribute("aria-controls", "code");
    tab.addEventListener("click", () => this.show(index));
    tab.addEventListener("keydown", ({ key }) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!by) return;
      this.show((this.chosen + by + this.tabs.length) % this.tabs.length);
      this.tabs[this.chosen].focus();
    });
    return tab;
  }

  show(index) {
    this.chosen = index;
    this.tabs.forEach((tab, each) => {
      tab.ariaSelected = String(each === index);
      tab.tabIndex = each === index ? 0 : -1;
    });
    const { code, needs } = LANGUAGES[index];
    const settings = this.settings;
    if (!settings.prompt.trim()) settings.prompt = "a red fox";
    element("code").setAttribute("aria-labelledby", this.tabs[index].id);
    element("code").firstElementChild.textContent = code(settings, this.form.slug, this.form.size);
    element("code-note").textContent = `${needs ? `${needs}. ` : ""}Put your key in place of ${KEY}.`;
  }

  async copy() {
    const text = element("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(element("code")); // over plain http, browsers let nobody else
      document.execCommand("copy");
    }
    element("copy").textContent = "Copied";
    announce("Copied");
    await pause(1500);
    element("copy").textContent = "Copy";
  }
}
