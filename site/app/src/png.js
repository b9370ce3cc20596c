// Reads PNG files with alpha, and writes PNG files.
//
// A browser's canvas multiplies colours by alpha, and so loses the colour of a transparent pixel. In Python the network
// sees these colours, and the saved file keeps them. Therefore this module does not use a canvas.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // number of channels by colour type: grey, RGB, palette, grey and alpha, RGBA
// A file with one of these chunks is left to the browser: it has another colour space, or an orientation tag.
const LEFT_TO_THE_BROWSER = ["iCCP", "eXIf", "cICP"];

// ------------------------------------------------------------------------------------------------------- reading

/** Return {width, height} from the first bytes of a PNG, or null if the file is not a PNG. */
export function pngSize(bytes) {
  if (bytes.length < 24 || SIGNATURE.some((value, at) => bytes[at] !== value)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/**
 * Read an 8-bit PNG with alpha that is not interlaced, as {width, height, data}.
 * Returns null for all other files, because the browser reads these correctly.
 */
export async function readPngWithAlpha(bytes) {
  if (!pngSize(bytes)) return null;
  const chunks = splitChunks(bytes);
  const { IHDR, PLTE, tRNS } = chunks;
  if (!IHDR || LEFT_TO_THE_BROWSER.some((name) => name in chunks)) return null;
  const view = new DataView(IHDR.buffer, IHDR.byteOffset);
  const [depth, type, interlaced] = [IHDR[8], IHDR[9], IHDR[12]];
  if (depth !== 8 || interlaced || !(type === 4 || type === 6 || (tRNS && type in CHANNELS))) return null;
  const head = { width: view.getUint32(0), height: view.getUint32(4), type };
  const lines = new Uint8Array(await through(new DecompressionStream("deflate"), chunks.IDAT));
  const samples = unfilter(lines, head.width * CHANNELS[type], head.height, CHANNELS[type]);
  return { width: head.width, height: head.height, data: toRgba(samples, type, PLTE, tRNS) };
}

/** Return the chunks by name. All chunks of image data are joined into one Blob. */
function splitChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = {};
  const data = [];
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (name === "IDAT") data.push(content);
    else chunks[name] = content;
    at += 12 + length;
  }
  return { ...chunks, IDAT: new Blob(data) };
}

/** Undo the prediction of each line from its neighbours (PNG specification, section 9). */
function unfilter(lines, length, height, step) {
  if (lines.length < (length + 1) * height) throw new Error("the file ends too early");
  const out = new Uint8Array(length * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (length + 1)];
    const line = lines.subarray(y * (length + 1) + 1);
    const here = y * length;
    for (let x = 0; x < length; x++) {
      const left = x < step ? 0 : out[here + x - step];
      const up = y === 0 ? 0 : out[here + x - length];
      const corner = x < step || y === 0 ? 0 : out[here + x - length - step];
      out[here + x] = line[x] + predict(filter, left, up, corner);
    }
  }
  return out;
}

function predict(filter, left, up, corner) {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  return paeth(left, up, corner);
}

function paeth(left, up, corner) {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function toRgba(samples, type, palette, transparency) {
  if (type === 6) return new Uint8ClampedArray(samples.buffer);
  const channels = CHANNELS[type];
  const out = new Uint8ClampedArray((4 * samples.length) / channels);
  for (let from = 0, to = 0; from < samples.length; from += channels, to += 4) {
    const pixel = samples.subarray(from, from + channels);
    out.set(type === 3 ? fromPalette(pixel[0], palette, transparency) : direct(pixel, transparency), to);
  }
  return out;
}

function fromPalette(index, palette, transparency) {
  return [...palette.subarray(3 * index, 3 * index + 3), transparency[index] ?? 255];
}

/**
 * Convert grey or RGB to RGBA. Alpha is a channel of the file, or it is 0 for the single colour that `transparency`
 * holds in 16 bits.
 */
function direct(pixel, transparency) {
  const own = pixel.length % 2 === 0;
  const colour = own ? pixel.subarray(0, -1) : pixel;
  const alpha = own ? pixel.at(-1) : colour.every((level, i) => level === transparency[2 * i + 1]) ? 0 : 255;
  return colour.length === 1 ? [colour[0], colour[0], colour[0], alpha] : [...colour, alpha];
}

// ------------------------------------------------------------------------------------------------------- writing

/**
 * Write a PNG file and return it as a Blob. It has alpha only if a pixel is not opaque.
 * `exif` (a TIFF block) and `description` (plain ASCII) are written into the metadata.
 */
export async function writePng({ width, height, data }, { exif, description }) {
  const channels = isOpaque(data) ? 3 : 4;
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8);
  head.setUint8(9, channels === 3 ? 2 : 6);
  const lines = new Blob([filterLines(data, width, height, channels)]);
  const compressed = new Uint8Array(await through(new CompressionStream("deflate"), lines));
  const parts = [
    chunk("IHDR", new Uint8Array(head.buffer)),
    chunk("sRGB", Uint8Array.of(1)), // relative colorimetric
    chunk("eXIf", exif),
    chunk("tEXt", new TextEncoder().encode(`Description\0${description}`)),
    chunk("IDAT", compressed),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([Uint8Array.from(SIGNATURE), ...parts], { type: "image/png" });
}

function isOpaque(data) {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}

/** Return each line as its difference from Paeth's prediction (filter 4), which compresses photographs well. */
function filterLines(data, width, height, channels) {
  const out = new Uint8Array(height * (width * channels + 1));
  let to = 0;
  for (let y = 0; y < height; y++) {
    out[to++] = 4;
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      for (let c = at; c < at + channels; c++) {
        const left = x === 0 ? 0 : data[c - 4];
        const up = y === 0 ? 0 : data[c - 4 * width];
        const corner = x === 0 || y === 0 ? 0 : data[c - 4 * width - 4];
        out[to++] = data[c] - paeth(left, up, corner);
      }
    }
  }
  return out;
}

/** Return a chunk: length, name, content and checksum. */
function chunk(name, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, crc32(bytes.subarray(4, -4)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function through(transform, blob) {
  return new Response(blob.stream().pipeThrough(transform)).arrayBuffer();
}
