/* A table wider than its column, as many are on a phone, is set closer. If it is still too wide and some cell holds a sentence, it is read
   row by row, each cell beside its column's name; a table of numbers, which is read down its columns, keeps its shape and scrolls beside
   its leading columns. */
const SENTENCE = 40; /* letters of a cell that is read and not looked up */
addEventListener("DOMContentLoaded", () => {
  const tables = [...document.querySelectorAll(".bd-article table.table")].filter((t) => t.tHead && t.tHead.rows.length === 1);
  const sentences = new Set();
  for (const table of tables) {
    const names = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const words = rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
    if (words.some((row) => row.some((cell) => cell.length > SENTENCE))) sentences.add(table);
    /* The leading columns that tell the rows apart. */
    let keys = 1;
    while (keys < names.length - 1 && new Set(words.map((row) => row.slice(0, keys).join("\t"))).size < rows.length) keys += 1;
    /* Shown as blocks, the elements would lose the roles by which a screen reader walks a table. */
    table.setAttribute("role", "table");
    for (const part of table.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
    for (const row of table.rows) row.setAttribute("role", "row");
    for (const name of names) name.setAttribute("role", "columnheader");
    for (const row of rows) {
      [...row.cells].forEach((cell, k) => {
        const name = document.createElement("span");
        const value = document.createElement("div");
        name.className = "cell-name";
        name.setAttribute("aria-hidden", "true");
        name.append(...[...names[k].childNodes].map((n) => n.cloneNode(true)));
        value.className = cell.textContent.trim().length > 20 ? "cell-value words" : "cell-value";
        value.append(...cell.childNodes);
        cell.setAttribute("role", "cell");
        cell.classList.toggle("key", k < keys);
        cell.append(name, value);
      });
    }
  }
  /* The leading columns of a table that scrolls stay in sight, as many as leave it half the width. */
  const pin = (table, box) => {
    const starts = [...table.tHead.rows[0].cells].map((cell) => cell.offsetLeft);
    const keys = table.tBodies[0].rows[0].querySelectorAll(".key").length;
    const pinned = Math.max(1, starts.slice(0, keys + 1).filter((x) => x > 0 && x <= 0.6 * box.clientWidth).length);
    for (const row of table.rows) {
      [...row.cells].slice(0, pinned).forEach((cell, k) => {
        cell.classList.add("pinned");
        cell.style.left = `${starts[k]}px`;
      });
    }
  };
  const over = (table) => table.offsetWidth > table.parentElement.clientWidth;
  const fit = () => {
    for (const table of tables) {
      const box = table.parentElement;
      table.classList.remove("close-set", "row-by-row", "scrolls");
      box.removeAttribute("tabindex");
      for (const cell of table.querySelectorAll(".pinned")) cell.classList.remove("pinned");
      if (over(table)) table.classList.add("close-set");
      if (!over(table)) continue;
      if (sentences.has(table)) {
        table.classList.replace("close-set", "row-by-row");
      } else {
        table.classList.add("scrolls");
        pin(table, box);
        box.tabIndex = 0; /* within reach of the keyboard */
      }
    }
  };
  const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
  fit();
  addEventListener("load", () => (typeset || Promise.resolve()).then(fit));
  addEventListener("resize", fit);
  /* A table in a closed fold has no width until it is opened. */
  for (const fold of document.querySelectorAll(".bd-article details")) fold.addEventListener("toggle", fit);
});
