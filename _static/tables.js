/* A table wider than its column, as many are on a phone, is set closer; if it is still too wide it is read row by row, each cell beside its
   column's name. */
addEventListener("DOMContentLoaded", () => {
  const tables = [...document.querySelectorAll(".bd-article table.table")].filter((t) => t.tHead && t.tHead.rows.length === 1);
  for (const table of tables) {
    const names = [...table.tHead.rows[0].cells];
    /* Shown as blocks, the elements would lose the roles by which a screen reader walks a table. */
    table.setAttribute("role", "table");
    for (const part of table.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
    for (const row of table.rows) row.setAttribute("role", "row");
    for (const name of names) name.setAttribute("role", "columnheader");
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, k) => {
        const name = document.createElement("span");
        const value = document.createElement("div");
        name.className = "cell-name";
        name.setAttribute("aria-hidden", "true");
        name.append(...[...names[k].childNodes].map((n) => n.cloneNode(true)));
        value.className = "cell-value";
        value.append(...cell.childNodes);
        cell.setAttribute("role", "cell");
        cell.append(name, value);
      });
    }
  }
  const over = (table) => table.offsetWidth > table.parentElement.clientWidth;
  const fit = () => {
    for (const table of tables) {
      table.classList.remove("close-set", "row-by-row");
      if (over(table)) table.classList.add("close-set");
      if (over(table)) table.classList.replace("close-set", "row-by-row");
    }
  };
  const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
  fit();
  addEventListener("load", () => (typeset || Promise.resolve()).then(fit));
  addEventListener("resize", fit);
  /* A table in a closed fold has no width until it is opened. */
  for (const fold of document.querySelectorAll(".bd-article details")) fold.addEventListener("toggle", fit);
});
