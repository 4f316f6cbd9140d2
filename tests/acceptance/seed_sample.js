// The sample of the service's page, with the host, the key, the prompt and the file's name as
// arguments: node seed_sample.js URL KEY PROMPT FILE
const axios = require('axios');
const fs = require('fs');

const [url, api_key, prompt, file] = process.argv.slice(2);

const data = {
  "prompt": prompt,
  "samples": 1,
  "guidance": 3.5,
  "steps": 25,
  "prompt_strength": 0.8,
  "aspect_ratio": "1",
  "seed": 46588,
  "output_format": "webp",
  "output_quality": 80
};

(async function () {
  try {
    const response = await axios.post(url, data, {
      headers: { 'x-api-key': api_key },
      responseType: 'arraybuffer'
    });
    fs.writeFileSync(file, response.data);
    console.log(JSON.stringify({ status: response.status, headers: response.headers }));
  } catch (error) {
    console.log(JSON.stringify({
      status: error.response.status,
      error: JSON.parse(Buffer.from(error.response.data).toString()).error
    }));
  }
})();
