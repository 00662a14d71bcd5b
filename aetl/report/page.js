// Sorts tables by the button of a column and filters their rows by the fields above them, keeps
// both in the address, and loads the page of a running sweep anew.
"use strict";
const address = () => new URLSearchParams(location.hash.slice(1));

function keep(name, value) {
  const said = address();
  if (value) said.set(name, value); else said.delete(name);
  history.replaceState(null, "", `#${said}`);
}

for (const table of document.querySelectorAll("table.live")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const fields = [...document.querySelectorAll(`[data-filters="${table.id}"]`)];
  const count = document.querySelector(`output[for="${table.id}"]`);
  // With blanks between the cells: 10 beside 0.7 is no 100.
  const text = new Map(rows.map((row) =>
    [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]));
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const named = (column) => `${table.id}.${column === undefined ? "search" : headers[column].textContent}`;

  function sort(header, up) {
    const column = header.cellIndex;
    for (const other of headers) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const numeric = header.classList.contains("number");
    body.append(...rows.slice().sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");  // no value stays last
      const order = numeric ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return up ? order : -order;
    }));
  }

  function filter() {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !fields.every((field) => {
        const wanted = field.value.toLowerCase();
        if (!wanted) return true;
        if (field.dataset.column === undefined) {
          return wanted.split(/\s+/).every((word) => text.get(row).includes(word));
        }
        return value(row, Number(field.dataset.column)).toLowerCase() === wanted;
      });
      shown += !row.hidden;
    }
    if (count) count.textContent = `${shown} of ${rows.length} rows`;
  }

  function recall() {
    const said = address();
    for (const field of fields) field.value = said.get(named(field.dataset.column)) ?? "";
    const sorted = said.get(`${table.id}.sort`) ?? "";
    const header = headers.find((h) => h.textContent === sorted.replace(/^-/, ""));
    if (header) sort(header, !sorted.startsWith("-"));
    filter();
  }

  for (const header of headers) {
    header.setAttribute("aria-sort", "none");
    header.querySelector("button")?.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") !== "ascending";
      sort(header, up);
      keep(`${table.id}.sort`, (up ? "" : "-") + header.textContent);
    });
  }
  for (const field of fields) field.addEventListener("input", () => {
    filter();
    keep(named(field.dataset.column), field.value);
  });
  addEventListener("hashchange", recall);
  recall();
}

const live = document.querySelector("[data-again]");
if (live) {
  const again = 1000 * Number(live.dataset.again);
  const time = live.querySelector("time");
  if (Date.now() - new Date(time.dateTime) > 30 * again) {  // its launcher is gone
    time.parentElement.textContent = `No news since ${time.textContent}: aetl sweep status tells more.`;
  } else setInterval(() => {
    const busy = document.activeElement?.matches("input, select");
    if (!busy && !document.hidden) location.reload();
  }, again);
}
