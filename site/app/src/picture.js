// Reads a file into pixels, and turns pixels into bitmaps that a page can show.

import { pngSize, readPngWithAlpha } from "./png.js";

/** An error whose message is shown to the visitor. */
export class Problem extends Error {}

/** Read a file as {width, height, data}: upright, sRGB, four bytes per pixel. Throws Problem. */
export async function readPicture(file, maxPixels) {
  const name = file.name || "the file";
  if (file.size === 0) throw new Problem(`Cannot read ${name}: the file is empty.`);
  const head = pngSize(new Uint8Array(await file.slice(0, 24).arrayBuffer()));
  if (head) checkSize(head, name, maxPixels); // before the file is decompressed
  return (head && (await tryPng(file))) || decode(file, name, maxPixels);
}

function checkSize({ width, height }, name, maxPixels) {
  if (width * height <= maxPixels) return;
  const [has, limit] = [width * height, maxPixels].map((pixels) => (pixels / 1e6).toFixed(1));
  throw new Problem(
    `Cannot read ${name}: ${width} × ${height} pixels are ${has} megapixels, and this page takes ${limit} at most. ` +
      "Make it smaller, or use colorlib on your computer.",
  );
}

async function tryPng(file) {
  try {
    return await readPngWithAlpha(new Uint8Array(await file.arrayBuffer()));
  } catch {
    return null; // damaged: the browser then tries to read the file and reports the error
  }
}

async function decode(file, name, maxPixels) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    throw new Problem(
      `Cannot read ${name}: it is no picture that this browser can open. Try a JPEG, a PNG or a WebP.`,
    );
  }
  try {
    checkSize(bitmap, name, maxPixels);
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(bitmap, 0, 0);
  return { width, height, data: canvas.getImageData(0, 0, width, height).data };
}

/** Return the photograph as an ImageBitmap of at most `pixels` pixels. */
export function toBitmap(picture, pixels) {
  const size = fit(picture, pixels);
  const image = new ImageData(picture.data, picture.width, picture.height);
  if (size.width === picture.width) return createImageBitmap(image);
  return createImageBitmap(image, { resizeWidth: size.width, resizeHeight: size.height, resizeQuality: "high" });
}

/** Return a copy of at most `pixels` pixels, which can be coloured quickly. */
export async function smaller(picture, pixels) {
  if (picture.width * picture.height <= pixels) return picture;
  const bitmap = await toBitmap(picture, pixels);
  try {
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function fit({ width, height }, pixels) {
  const scale = Math.min(1, Math.sqrt(pixels / (width * height)));
  const side = (length) => Math.max(1, Math.floor(length * scale));
  return scale === 1 ? { width, height } : { width: side(width), height: side(height) };
}
