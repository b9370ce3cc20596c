// Everything that takes time, beside the page: reading, colouring, saving.
//
// The page sends {open: File}, {strength: 0..1} and {save: true}; each change of what is wanted ends the work on what
// was wanted before. Answers: {stage}, {loading: 0..1}, {before, size}, {after, done, seconds}, {saved: Blob},
// {problem}.

import { Problem, readPicture, smaller, toBitmap } from "./picture.js";
import { Pipeline } from "./pipeline.js";
import { writePng } from "./png.js";

// The page shows no more pixels than this; the file that is saved has all of them.
const SHOWN_PIXELS = 2 ** 22;
// A small copy is coloured first, so that the slider of strength answers at once.
const PREVIEW_PIXELS = 2 ** 16;

const loading = Pipeline.load((share) => postMessage({ loading: share })).catch((error) => {
  throw new Problem(`The model cannot be loaded: ${error.message}.`);
});
let loaded = false;
loading.then(() => (loaded = true), report);

let photograph = null; // {picture, preview, maps, coloured}
let strength = 1;
// Each grows with every new wish, and whoever works on an older one stops.
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
    if (data.open && photograph && !photograph.coloured) await recolour(); // what the new file interrupted
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
