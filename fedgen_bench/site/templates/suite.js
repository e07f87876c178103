"use strict";
(() => {
  const board = document.getElementById("board");
  const boxes = [...document.querySelectorAll(".picker input")];
  const heads = [...board.tHead.rows[0].cells];
  const first = boxes.filter((box) => box.checked).map((box) => box.dataset.key).join(",");
  const bodies = [...board.tBodies].map((body) => [body, [...body.rows]]);
  const state = { sort: "", down: false, run: "" };

  const parsed = (cell) => (cell.dataset.value === "" ? null : Number(cell.dataset.value));
  const compare = (one, other) => {
    const [a, b] = [parsed(one), parsed(other)];
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    const order = Number.isNaN(a) || Number.isNaN(b) ? one.dataset.value.localeCompare(other.dataset.value) : a - b;
    return state.down ? -order : order;
  };
  const sort = () => {
    const place = heads.findIndex((head) => head.dataset.key === state.sort);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== place ? "none" : state.down ? "descending" : "ascending"));
    for (const [body, rows] of bodies) {
      const named = rows.filter((row) => row.dataset.contender);
      if (place >= 0) named.sort((one, other) => compare(one.cells[place], other.cells[place]));
      body.append(...named);
    }
  };
  const remember = () => {
    const shown = boxes.filter((box) => box.checked).map((box) => box.dataset.key).join(",");
    const said = new URLSearchParams();
    if (state.sort) said.set("sort", (state.down ? "-" : "") + state.sort);
    if (shown !== first) said.set("columns", shown);
    if (state.run) said.set("run", state.run);
    history.replaceState(null, "", "#" + said);
  };
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      state.down = state.sort === head.dataset.key && !state.down;
      state.sort = head.dataset.key;
      sort();
      remember();
    });
  }
  boxes.forEach((box) => box.addEventListener("change", remember));

  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Runs of a contender");
  document.body.append(dialog);
  const open = (contender) => {
    const source = document.querySelector(`details.run[data-contender="${CSS.escape(contender)}"]`);
    if (!source) return;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "close";
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    const heading = document.createElement("h2");
    heading.append(...source.querySelector("summary").cloneNode(true).childNodes);
    const rest = [...source.children].slice(1).map((one) => one.cloneNode(true));
    dialog.replaceChildren(close, heading, ...rest);
    dialog.showModal();
    state.run = contender;
    remember();
  };
  dialog.addEventListener("close", () => {
    state.run = "";
    remember();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  for (const row of board.querySelectorAll("tr[data-contender]")) {
    const contender = row.dataset.contender;
    if (!document.querySelector(`details.run[data-contender="${CSS.escape(contender)}"]`)) continue;
    row.classList.add("opens");
    row.addEventListener("click", (event) => {
      if (String(getSelection())) return;
      event.preventDefault();
      open(contender);
    });
  }

  const restore = () => {
    const place = location.hash.slice(1);
    if (place && !place.includes("=")) {
      const target = place.startsWith("run-") && document.getElementById(place);
      if (target) {
        target.open = true;
        target.scrollIntoView();
      }
      return;
    }
    const said = new URLSearchParams(place);
    if (said.has("columns")) {
      const shown = said.get("columns").split(",");
      boxes.forEach((box) => (box.checked = shown.includes(box.dataset.key)));
    }
    const asked = said.get("sort") || "";
    state.down = asked.startsWith("-");
    state.sort = asked.replace(/^-/, "");
    if (state.sort) sort();
    if (said.get("run")) open(said.get("run"));
  };
  addEventListener("hashchange", restore);
  restore();
})();
