// Sorts a table by the button of a column, and filters its rows by the fields above it.
"use strict";
for (const table of document.querySelectorAll("table.live")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const fields = [...document.querySelectorAll(`[data-filters="${table.id}"]`)];
  const count = document.querySelector(`output[for="${table.id}"]`);
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;

  function sort(header) {
    const column = header.cellIndex;
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
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
          return wanted.split(/\s+/).every((word) => row.textContent.toLowerCase().includes(word));
        }
        return value(row, Number(field.dataset.column)).toLowerCase() === wanted;
      });
      shown += !row.hidden;
    }
    if (count) count.textContent = `${shown} of ${rows.length} rows`;
  }

  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button")?.addEventListener("click", () => sort(header));
  }
  for (const field of fields) field.addEventListener("input", filter);
  filter();
}
