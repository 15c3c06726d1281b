// A click on a column's head sorts its table, another the other way round; gaps stay last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentNode, heads = [...head.parentNode.children];
    const body = head.closest("table").tBodies[0], index = heads.indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    const key = row => {
      const cell = row.children[index];
      if (cell.classList.contains("gap")) return null;
      return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent.trim();
    };
    const compare = (a, b) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b
        : String(a).localeCompare(String(b), "en", { numeric: true });
      return up ? order : -order;
    };
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    [...body.rows].sort((a, b) => compare(key(a), key(b))).forEach(row => body.append(row));
  });
}

// Paper cannot be unfolded: what is folded is opened for print, and folded again afterwards.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("main details:not([open])")];
  opened.forEach(part => { part.open = true; });
});
addEventListener("afterprint", () => opened.forEach(part => { part.open = false; }));

// A link to something folded unfolds it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details");
  if (folded) folded.open = true;
};
addEventListener("hashchange", unfold);
unfold();

// On a wide screen the contents are always there.
if (matchMedia("(min-width: 72rem)").matches) document.querySelector("nav details").open = true;
