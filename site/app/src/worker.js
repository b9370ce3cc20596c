// The worker does all slow work outside the page's own thread: reading, colouring and saving a photograph.
//
// The page sends {open: File}, {strength: 0..2} and {save: true}. A new file or a new strength cancels the work on the
// previous one. `strength` multiplies the predicted ab: 0 is grey, 1 is as predicted. Above 1 many colours leave the
// sRGB gamut; join.onnx reduces the chroma of these colours at constant lightness and hue.
// The worker answers with {stage}, {loading: 0..1}, {before, size}, {after, done, seconds}, {saved: Blob} or {problem}.

import { Problem, readPicture, smaller, toBitmap } from "./picture.js";
import { Pipeline } from "./pipeline.js";
import { writePng } from "./png.js";

// The page shows at most this many pixels. The saved file has all pixels of the photograph.
const SHOWN_PIXELS = 2 ** 22;
// A copy of at most this many pixels is coloured first, so that the effect of the strength slider is visible at once.
const PREVIEW_PIXELS = 2 ** 16;

const loading = Pipeline.load((share) => postMessage({ loading: share })).catch((error) => {
  throw new Problem(`The model cannot be loaded: ${error.message}.`);
});
let loaded = false;
loading.then(() => (loaded = true), report);

let photograph = null; // {picture, preview, maps, coloured}
let strength = 1;
// Numbers of the latest opening and of the latest colouring. Work with an older number stops.
let opens = 0;
let colourings = 0;

onmessage = async ({ data }) => {
  try {
    if (data.open) await open(data.open);
    else if (data.save) await save();
    else {
      strength = data.strength;
      await recolour();
    }
  } catch (error) {
    report(error);
    if (data.open && photograph && !photograph.coloured) await recolour(); // resume what the new file interrupted
  }
};

function report(error) {
  postMessage({ problem: error instanceof Problem ? error.message : `This did not work: ${error.message || error}.` });
}

async function open(file) {
  const mine = ++opens;
  const outdated = () => mine !== opens;
  const started = performance.now();
  colourings++;
  if (!loaded) postMessage({ stage: "Loading the model" });
  const pipeline = await loading;
  if (outdated()) return;
  postMessage({ stage: "Reading the photograph" });
  const picture = await readPicture(file, pipeline.facts.max_pixels);
  const before = await toBitmap(picture, SHOWN_PIXELS);
  if (outdated()) return;
  photograph = null;
  colourings++;
  postMessage({ before, size: [picture.width, picture.height], stage: "Looking at it" }, [before]);
  const preview = await smaller(picture, PREVIEW_PIXELS);
  const maps = await pipeline.look(picture);
  if (outdated()) return;
  photograph = { picture, preview, maps, coloured: null };
  await recolour(started);
}

async function recolour(started = performance.now()) {
  if (!photograph) return;
  const mine = ++colourings;
  const outdated = () => mine !== colourings;
  const work = photograph;
  work.coloured = null;
  postMessage({ stage: "Colouring" });
  const pipeline = await loading;
  for (const source of new Set([work.preview, work.picture])) {
    const coloured = await pipeline.colour(source, work.maps, strength, outdated);
    if (!coloured) return;
    const done = source === work.picture;
    if (done) work.coloured = coloured;
    const after = await toBitmap(coloured, SHOWN_PIXELS);
    if (outdated()) return;
    postMessage({ after, done, seconds: (performance.now() - started) / 1000 }, [after]);
  }
}

async function save() {
  const { coloured } = photograph;
  const { facts } = await loading;
  const exif = Uint8Array.from(atob(facts.exif), (character) => character.charCodeAt(0));
  postMessage({ saved: await writePng(coloured, { exif, description: facts.mark }) });
}
