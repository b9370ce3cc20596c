// Sizes, as `colorlib.inference.network_size` has them.

/** Python's `round`: halves go to the even neighbour. */
export function roundHalfEven(x) {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** Width and height at which the network sees a photograph. `facts` are those of pipeline.json. */
export function networkSize({ width, height }, facts) {
  const short = Math.min(height, width);
  const long = Math.max(height, width);
  const scale = Math.min(1, facts.size / short, (facts.max_aspect * facts.size) / long);
  const side = (length) => Math.max(1, roundHalfEven(length * scale));
  return { width: side(width), height: side(height) };
}
