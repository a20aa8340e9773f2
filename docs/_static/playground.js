// The interactive page. elunet runs in the browser (Pyodide) and computes every number; this draws.
"use strict";

(function () {
  const page = document.getElementById("playground");
  if (!page) return;
  const part = (name) => page.querySelector(`[data-part="${name}"]`);
  const arms = ["#0072b2", "#c86400", "#007a59"];
  const lines = ["#0072b2", "#c04f00", "#007a59", "#7a4a78"];
  const REACH = 1.15, SIDE = 60, STEPS = 5;
  const state = { playground: null, running: false, losses: [], angles: [], module: null, seed: 0 };

  const say = (text) => { part("said").textContent = text; };

  async function fetched(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} is missing (${answer.status})`);
    return answer;
  }

  function script(address) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = address;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${address} cannot be loaded`));
      document.head.append(element);
    });
  }

  async function start() {
    const button = part("run");
    button.disabled = true;
    try {
      say("Loading Python (about 10 MB, once) …");
      const site = new URL("lite/", document.baseURI);
      const about = await fetched(new URL("elunet.json", site)).then((answer) => answer.json());
      const indexURL = new URL(about.pyodide, site).href;
      await script(indexURL + "pyodide.js");
      const python = await window.loadPyodide({ indexURL });
      await python.loadPackage("numpy");
      say("Loading elunet …");
      const wheel = await fetched(new URL(about.wheel, site));
      python.unpackArchive(await wheel.arrayBuffer(), "wheel");
      const source = await fetched(new URL("playground.py", site));
      python.FS.writeFile("playground.py", await source.text());
      state.module = python.pyimport("playground");
      button.disabled = false;
      make();
      run();
    } catch (error) {
      say(`That did not work: ${error}. Reload the page to try again.`);
      button.disabled = false;
    }
  }

  function make() {
    if (!state.module) return;
    if (state.playground) state.playground.destroy();
    const depth = Number(part("depth").value), alpha = Number(part("alpha").value);
    state.playground = state.module.Playground(depth, alpha, part("rule").value, state.seed);
    state.losses = [];
    state.angles = [];
    const points = state.playground.x.tolist().toJs(), labels = state.playground.y.tolist().toJs();
    state.points = points.map((point, k) => [point[0], point[1], labels[k]]);
    draw();
  }

  function step() {
    if (!state.running) return;
    const result = state.playground.train(STEPS);
    const found = result.toJs({ dict_converter: Object.fromEntries });
    result.destroy();
    state.losses.push(found.loss);
    state.angles.push(Array.from(found.angles));
    say(`Step ${found.steps}: loss ${found.loss.toFixed(3)}, ${Math.round(100 * found.accuracy)} % right`);
    draw();
    if (found.steps >= 3000) stop();
    else requestAnimationFrame(step);
  }

  function run() {
    state.running = true;
    part("run").textContent = "Pause";
    requestAnimationFrame(step);
  }

  function stop() {
    state.running = false;
    part("run").textContent = "Go on";
  }

  function canvas(name) {
    const element = part(name), ratio = window.devicePixelRatio || 1;
    const width = element.clientWidth, height = element.clientHeight;
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    const pen = element.getContext("2d");
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  function draw() {
    drawBoundary();
    drawLines("loss", state.losses.map((value) => [value]), Math.max(1.2, ...state.losses), "");
    drawLines("angles", state.angles, 180, "°");
  }

  function drawBoundary() {
    const { pen, width } = canvas("boundary");
    const bytes = state.playground.image(SIDE), buffer = bytes.toJs();
    bytes.destroy?.();
    const small = new OffscreenCanvas(SIDE, SIDE);
    const image = new ImageData(new Uint8ClampedArray(buffer), SIDE, SIDE);
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(small, 0, 0, width, width);
    for (const [x, y, arm] of state.points) {
      pen.beginPath();
      pen.arc((x / REACH + 1) / 2 * width, (1 - y / REACH) / 2 * width, width / 130, 0, 7);
      pen.fillStyle = arms[arm];
      pen.fill();
      pen.strokeStyle = "#fff";
      pen.lineWidth = 0.7;
      pen.stroke();
    }
  }

  function drawLines(name, rows, top, unit) {
    const { pen, width, height } = canvas(name);
    const style = getComputedStyle(page), ink = style.color;
    const left = 38, low = height - 22, high = 10, right = width - 10;
    pen.font = "12px sans-serif";
    pen.fillStyle = ink;
    pen.strokeStyle = ink;
    pen.textAlign = "right";
    const ticks = unit ? [0, 90, 180] : [0, top / 2, top];
    for (const tick of ticks) {
      const y = low - tick / top * (low - high);
      pen.globalAlpha = 0.25;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(right, y);
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillText(unit ? `${tick}${unit}` : tick.toFixed(1), left - 5, y + 4);
    }
    pen.textAlign = "left";
    pen.fillText("0", left, height - 6);
    pen.textAlign = "right";
    pen.fillText(`step ${rows.length * STEPS}`, right, height - 6);
    const many = rows.length ? rows[0].length : 0;
    for (let k = 0; k < many; k++) {
      pen.strokeStyle = lines[k % lines.length];
      pen.lineWidth = 2;
      pen.beginPath();
      rows.forEach((row, i) => {
        const x = left + (right - left) * (rows.length > 1 ? i / (rows.length - 1) : 0);
        const y = low - Math.min(row[k], top) / top * (low - high);
        if (i) pen.lineTo(x, y); else pen.moveTo(x, y);
      });
      pen.stroke();
    }
    if (unit) {
      part("legend").replaceChildren(...Array.from({ length: many }, (_, k) => {
        const entry = document.createElement("span");
        entry.textContent = `layer ${k + 1}`;
        entry.style.color = lines[k % lines.length];
        return entry;
      }));
    }
  }

  part("run").addEventListener("click", () => {
    if (!state.module) start();
    else if (state.running) stop();
    else run();
  });
  function again() {
    make();
    if (state.module && !state.running) run();
  }

  part("again").addEventListener("click", () => { state.seed += 1; again(); });
  for (const name of ["depth", "alpha", "rule"]) {
    const control = part(name), value = part(name + "-value");
    control.addEventListener("input", () => { if (value) value.textContent = control.value; });
    control.addEventListener("change", again);
  }
  window.addEventListener("resize", () => { if (state.playground) draw(); });
})();
