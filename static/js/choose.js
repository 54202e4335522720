// Ticking rows: [data-choose] holds boxes [data-choose-one], one [data-choose-all] for all of the page, and shows
// [data-choose-some] with the [data-choose-count] while any is ticked.
(() => {
  const update = (group) => {
    const boxes = [...group.querySelectorAll("[data-choose-one]")];
    const count = boxes.filter((box) => box.checked).length;
    group.querySelectorAll("[data-choose-some]").forEach((one) => { one.hidden = !count; });
    group.querySelectorAll("[data-choose-none]").forEach((one) => { one.hidden = !!count; });
    group.querySelectorAll("[data-choose-count]").forEach((one) => { one.textContent = count.toLocaleString("en"); });
    const all = group.querySelector("[data-choose-all]");
    if (all) { all.checked = count === boxes.length && count > 0; all.indeterminate = count > 0 && count < boxes.length; }
  };
  document.addEventListener("change", (event) => {
    const group = event.target.closest("[data-choose]");
    if (!group) return;
    if (event.target.matches("[data-choose-all]")) group.querySelectorAll("[data-choose-one]").forEach((box) => { box.checked = event.target.checked; });
    update(group);
  });
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-choose]").forEach(update));
})();
