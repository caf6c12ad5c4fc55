// The page is whole without this: it sorts the table of scopes, and names the day under the pointer.
"use strict";
for (const table of document.querySelectorAll("table.sort")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const value = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim();
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const number = head.classList.contains("n") || head.classList.contains("t");
      const rows = [...body.rows];
      rows.sort((a, b) => {
        const [x, y] = [value(a, at), value(b, at)];
        if (number && (x === "" || y === "")) return (x === "") - (y === ""); // what is not known stays below
        const order = number ? x - y : x.localeCompare(y, "en", { numeric: true });
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
document.addEventListener("mouseover", (event) => {
  const cell = event.target;
  if (cell.tagName !== "TD" || cell.title || !cell.closest("table.nights")) return;
  const days = cell.closest("table").tHead.rows[1].cells;
  const word = { "": "no night due", "✓": "verified", "=": "unchanged" }[cell.textContent] ?? "";
  cell.title = `${cell.parentNode.cells[0].textContent}, ${days[cell.cellIndex].dataset.day}: ${word}`;
});
