// The page: sends the visitor's actions to the worker (worker.js) and shows the worker's results.

const element = (id) => document.getElementById(id);
const [stage, invite, compare, split] = ["stage", "invite", "compare", "split"].map(element);
const [file, strength, percent, save] = ["file", "strength", "percent", "save"].map(element);
const [status, progress, problem] = ["status", "progress", "problem"].map(element);
const shown = { before: element("before"), after: element("after") };

let worker = null;
let size = null;
let opening = ""; // name of the file that the worker is reading
let savedName = "";

start();

function start() {
  if (location.protocol === "file:") {
    return complain(
      "A page that is opened from the disk cannot load its model. Serve this folder with: python -m http.server",
    );
  }
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = () => complain("The colouring cannot start: this browser is too old, or a file of this page is missing.");
  listen();
}

// ------------------------------------------------------------------------------------------------ actions of the visitor

function listen() {
  file.addEventListener("change", () => {
    if (file.files.length) open(file.files[0]);
    file.value = ""; // so that the same file can be chosen again
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => openExample(button.dataset.example));
  }
  listenToDrops();
  split.addEventListener("input", showSplit);
  strength.addEventListener("input", () => {
    percent.value = `${strength.value} %`;
    complain("");
    state("working");
    worker.postMessage({ strength: strength.value / 100 }); // 0..2, as in colorlib
  });
  save.addEventListener("click", () => {
    state("saving");
    say("Writing the PNG");
    worker.postMessage({ save: true });
  });
}

function listenToDrops() {
  const over = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  addEventListener("dragover", over);
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [dropped] = event.dataTransfer.files;
    if (dropped) open(dropped);
    else complain("This was not a file. Drop a photograph from a folder of your computer.");
  });
}

function open(photograph) {
  opening = photograph.name;
  complain("");
  state("working");
  worker.postMessage({ open: photograph });
}

async function openExample(address) {
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(response.statusText);
    open(new File([await response.blob()], address.split("/").pop()));
  } catch {
    complain("The example cannot be loaded from this server.");
  }
}

function showSplit() {
  compare.style.setProperty("--split", `${split.value}%`);
  split.setAttribute("aria-valuetext", `${split.value} % photograph, ${100 - split.value} % coloured`);
}

// ------------------------------------------------------------------------------------------------ messages from the worker

function hear(message) {
  if ("loading" in message) progress.value = message.loading;
  if ("stage" in message) {
    say(`${message.stage} …`);
    state("working");
  }
  progress.hidden = message.stage !== "Loading the model" && (progress.hidden || !("loading" in message));
  if (message.before) showPhotograph(message);
  if (message.after) showColours(message);
  if (message.saved) download(message.saved);
  if (message.problem) {
    complain(message.problem);
    state(size ? "done" : "empty");
  }
}

function showPhotograph({ before, size: [width, height] }) {
  size = [width, height];
  savedName = `${opening.replace(/\.[^.]*$/, "") || "photograph"}-coloured.png`;
  compare.style.setProperty("--aspect", width / height);
  paint(shown.before, before);
  shown.after.hidden = true;
  invite.hidden = true;
  compare.hidden = false;
  strength.disabled = false;
  showSplit();
}

function showColours({ after, done, seconds }) {
  paint(shown.after, after);
  shown.after.hidden = false;
  if (!done) return;
  document.body.dataset.seconds = seconds.toFixed(2);
  say(`Coloured: ${size.join(" × ")} pixels in ${seconds.toFixed(1)} s`);
  state("done");
}

function paint(canvas, bitmap) {
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
}

function download(blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = savedName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  if (document.body.dataset.state !== "saving") return; // the visitor has started something else meanwhile
  say(`Saved as ${savedName}`);
  state("done");
}

/** Set the state of the page: empty, working, saving or done. Only a finished photograph can be saved. */
function state(name) {
  document.body.dataset.state = name;
  save.disabled = name !== "done" || !size;
}

function say(news) {
  status.textContent = news;
}

/** Show an error message. It remains visible until the visitor does something else. */
function complain(trouble) {
  problem.textContent = trouble;
  if (trouble) say("");
}
