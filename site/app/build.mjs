// node build.mjs [MODEL] [OUT]: write the page to OUT as static files.
// MODEL is the folder that export_pipeline.py wrote.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const model = resolve(process.argv[2] ?? join(here, "model"));
const out = resolve(process.argv[3] ?? join(here, "dist"));

const facts = await readFile(join(model, "pipeline.json"), "utf8").then(JSON.parse, () => {
  console.error(`${model} has no pipeline.json; run: python site/app/export_pipeline.py --out ${model}`);
  process.exit(2);
});

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const options = { bundle: true, minify: true, legalComments: "none", target: "es2022", logLevel: "warning", absWorkingDir: here };
await build({ ...options, entryPoints: ["src/main.js"], format: "iife", outfile: join(out, "main.js") });
await build({ ...options, entryPoints: ["src/worker.js"], format: "esm", outfile: join(out, "worker.js") });

const text = { weights: facts.weights, licence: facts.licence ?? "yours to decide: they do not ship with colorlib" };
const page = await readFile(join(here, "index.html"), "utf8");
await writeFile(join(out, "index.html"), page.replace(/\{\{(\w+)\}\}/g, (_, name) => escape(text[name])));

const runtime = join(here, "node_modules", "onnxruntime-web");
for (const [from, to] of [
  [join(here, "style.css"), "style.css"],
  [join(here, "examples"), "examples"],
  [join(here, "THIRD_PARTY.txt"), "THIRD_PARTY.txt"],
  [join(runtime, "dist", "ort-wasm-simd-threaded.wasm"), "ort-wasm-simd-threaded.wasm"],
  ...["pipeline.json", ...Object.keys(facts.bytes)].map((name) => [join(model, name), join("model", name)]),
]) {
  await cp(from, join(out, to), { recursive: true });
}
console.log(`The page is in ${out}. Serve it with: python -m http.server --directory ${out}`);

function escape(words) {
  return words.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
