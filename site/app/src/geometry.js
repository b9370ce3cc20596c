// Computes the network's input size as `colorlib.inference.network_size` does.

/** Round as Python's `round` does: a half is rounded to the even neighbour. */
export function roundHalfEven(x) {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** Return the width and height of the network's input for a photograph. `facts` is the content of pipeline.json. */
export function networkSize({ width, height }, facts) {
  const short = Math.min(height, width);
  const long = Math.max(height, width);
  const scale = Math.min(1, facts.size / short, (facts.max_aspect * facts.size) / long);
  const side = (length) => Math.max(1, roundHalfEven(length * scale));
  return { width: side(width), height: side(height) };
}
