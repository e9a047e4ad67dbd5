// Tables of class "sortable": a click on a heading sorts by its column, best first, then the other way.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const first = [...body.rows];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.dataset.better !== "higher";
      const again = head.getAttribute("aria-sort") === (up ? "ascending" : "descending");
      const sign = up !== again ? 1 : -1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const value = row => {
        const cell = row.cells[column];
        return column ? parseFloat(cell.dataset.value) : cell.textContent.trim();
      };
      const rows = [...first].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (!column) return sign * x.localeCompare(y, undefined, {numeric: true});
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return sign * (x - y);
      });
      body.append(...rows);
    });
  });
}
