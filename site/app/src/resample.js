// Pillow's `Image.resize(size, BICUBIC, reducing_gap=...)` for 8-bit images.
//
// The network must get the same input as in Python. The resizing of browsers differs from Pillow's by several levels,
// and differs between browsers. The result of this module equals Pillow's exactly. Some versions of Pillow resize the
// rows of a tall image before its columns; the result then differs from theirs by at most one level.

const SUPPORT = 2; // radius of the bicubic kernel, in pixels of the smaller image
const PRECISION = 22; // fractional bits of the fixed-point weights: 32 - 8 for a level - 2 for the overshoot of the kernel

/** The bicubic kernel of Catmull and Rom (Keys 1981, with a = -1/2). */
function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** Resize an image {width, height, data} of four bytes per pixel. The alpha of the result is 255. */
export function resize(picture, width, height, reducingGap) {
  const factorX = Math.max(1, Math.trunc(picture.width / width / reducingGap));
  const factorY = Math.max(1, Math.trunc(picture.height / height / reducingGap));
  const reduced = factorX > 1 || factorY > 1 ? averageBlocks(picture, factorX, factorY) : picture;
  // The size in pixels of the reduced image. Its last column and row may be the mean of an incomplete block.
  const columns = contributions(picture.width / factorX, reduced.width, width);
  const rows = contributions(picture.height / factorY, reduced.height, height);
  return resampleRows(resampleColumns(reduced, columns), rows);
}

/** Return the mean of each block of pixels. Blocks at the right and the lower edge may be incomplete. */
function averageBlocks({ width, height, data }, factorX, factorY) {
  const out = blank(Math.ceil(width / factorX), Math.ceil(height / factorY));
  for (let y = 0; y < out.height; y++) {
    const bottom = Math.min(height, (y + 1) * factorY);
    for (let x = 0; x < out.width; x++) {
      const right = Math.min(width, (x + 1) * factorX);
      const count = (bottom - y * factorY) * (right - x * factorX);
      let [r, g, b] = [count >> 1, count >> 1, count >> 1];
      for (let row = y * factorY; row < bottom; row++) {
        for (let at = 4 * (row * width + x * factorX), end = 4 * (row * width + right); at < end; at += 4) {
          r += data[at];
          g += data[at + 1];
          b += data[at + 2];
        }
      }
      // Pillow multiplies by a fixed-point reciprocal instead of dividing.
      const reciprocal = Math.trunc(Math.fround(2 ** 24 / count));
      const at = 4 * (y * out.width + x);
      out.data[at] = Math.floor((r * reciprocal) / 2 ** 24);
      out.data[at + 1] = Math.floor((g * reciprocal) / 2 ** 24);
      out.data[at + 2] = Math.floor((b * reciprocal) / 2 ** 24);
    }
  }
  return out;
}

/**
 * Return for each of `target` pixels the first of the `available` pixels that has a weight, and the weights from that
 * pixel on. `length` is the part of the available pixels that the image fills.
 */
function contributions(length, available, target) {
  const scale = Math.fround(length) / target; // Pillow stores lengths in single precision
  const stretch = Math.max(scale, 1);
  const squeeze = 1 / stretch;
  const support = SUPPORT * stretch;
  return Array.from({ length: target }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(available, Math.trunc(center + support + 0.5));
    const weights = [];
    for (let x = first; x < end; x++) weights.push(bicubic((x - center + 0.5) * squeeze));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: Int32Array.from(weights, (weight) => roundAway((weight / sum) * 2 ** PRECISION)) };
  });
}

function roundAway(x) {
  return Math.trunc(x < 0 ? x - 0.5 : x + 0.5);
}

function resampleColumns({ width, height, data }, columns) {
  const out = blank(columns.length, height);
  for (let y = 0; y < height; y++) {
    columns.forEach(({ first, weights }, x) => {
      mix(data, 4 * (y * width + first), 4, weights, out.data, 4 * (y * out.width + x));
    });
  }
  return out;
}

function resampleRows({ width, data }, rows) {
  const out = blank(width, rows.length);
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < width; x++) {
      mix(data, 4 * (first * width + x), 4 * width, weights, out.data, 4 * (y * width + x));
    }
  });
  return out;
}

/** Compute a pixel of the result: the weighted sum, rounded and clipped to 0..255. */
function mix(data, from, stride, weights, out, to) {
  let r = 1 << (PRECISION - 1);
  let g = r;
  let b = r;
  for (let i = 0, at = from; i < weights.length; i++, at += stride) {
    r += data[at] * weights[i];
    g += data[at + 1] * weights[i];
    b += data[at + 2] * weights[i];
  }
  out[to] = r >> PRECISION; // a Uint8ClampedArray clips
  out[to + 1] = g >> PRECISION;
  out[to + 2] = b >> PRECISION;
}

function blank(width, height) {
  return { width, height, data: new Uint8ClampedArray(4 * width * height).fill(255) };
}
