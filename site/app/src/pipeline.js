// Runs the two ONNX files of the colorizer (written by export_pipeline.py) with ONNX Runtime.

import * as ort from "onnxruntime-web/wasm";
import { networkSize } from "./geometry.js";
import { resize } from "./resample.js";

// One thread, because threads of WebAssembly need HTTP headers that a static file server does not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", self.location.href).href };
ort.env.logLevel = "error";

export class Pipeline {
  /** Load both files. `report(share)` is called with the share of the bytes loaded so far, 0..1. */
  static async load(report) {
    const pipeline = new Pipeline();
    const folder = new URL("model/", self.location.href);
    pipeline.facts = await (await fetchFile(new URL("pipeline.json", folder))).json();
    const total = Object.values(pipeline.facts.bytes).reduce((a, b) => a + b, 0);
    let loaded = 0;
    const got = (bytes) => report(Math.min(1, (loaded += bytes) / total));
    const session = async (name) => {
      const bytes = await download(new URL(name, folder), got);
      return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    };
    pipeline.network = await session("network.onnx");
    pipeline.join = await session("join.onnx");
    return pipeline;
  }

  /** Run the network on a photograph and return its maps: a tensor from which `colour` computes ab at any size. */
  async look(picture) {
    const size = networkSize(picture, this.facts);
    const same = size.width === picture.width && size.height === picture.height;
    const small = same ? picture : resize(picture, size.width, size.height, this.facts.reducing_gap);
    return (await this.network.run({ rgba: pixels(small, 0, small.height) })).maps;
  }

  /**
   * Colour a photograph with the maps, some rows at a time. `strength` in 0..2 multiplies the predicted ab.
   * Returns null as soon as `outdated()` is true.
   */
  async colour(picture, maps, strength, outdated) {
    const { width, height } = picture;
    const out = new Uint8ClampedArray(4 * width * height);
    const step = Math.max(1, Math.floor(this.facts.band_pixels / width));
    for (let top = 0; top < height; top += step) {
      const rgba = pixels(picture, top, Math.min(height, top + step));
      const scalars = { top: scalar(top), height: scalar(height), strength: scalar(strength) };
      const { coloured } = await this.join.run({ rgba, maps, ...scalars });
      out.set(coloured.data, 4 * width * top);
      coloured.dispose();
      await messages();
      if (outdated()) return null;
    }
    return { width, height, data: out };
  }
}

function pixels({ width, data }, top, bottom) {
  const rows = data.subarray(4 * width * top, 4 * width * bottom);
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.length);
  return new ort.Tensor("uint8", bytes, [bottom - top, width, 4]);
}

function scalar(value) {
  return new ort.Tensor("float32", [value], []);
}

/** Wait until the worker has received the messages that the page has sent meanwhile. */
function messages() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

async function fetchFile(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} is missing on this server (${response.status})`);
  return response;
}

async function download(url, got) {
  const reader = (await fetchFile(url)).body.getReader();
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    got(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
