// htmx swap "morph": changes only what differs, so focus, scroll, selection and open <details> stay; a number that
// changed ([data-n]) flashes once. Elements are matched by id or data-key, then by order and tag.
(() => {
  const KEEP_ATTRIBUTES = { DETAILS: ["open"], DIALOG: ["open"] };
  const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset?.key || "" : "");

  const syncAttributes = (from, to) => {
    const kept = KEEP_ATTRIBUTES[from.tagName] || [];
    for (const { name, value } of [...to.attributes]) {
      if (!kept.includes(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !kept.includes(name)) from.removeAttribute(name);
    }
  };

  const flash = (element) => {
    element.classList.remove("flash");
    requestAnimationFrame(() => element.classList.add("flash"));
    element.addEventListener("animationend", () => element.classList.remove("flash"), { once: true });
  };

  const sameKind = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  const morphNode = (from, to, added) => {
    if (from.nodeType !== 1) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.isEqualNode(to) || from.hasAttribute("data-keep")) return;
    const typing = from === document.activeElement && /^(INPUT|TEXTAREA|SELECT)$/.test(from.tagName);
    const counted = from.hasAttribute("data-n") && from.textContent.trim() !== to.textContent.trim();
    from.classList.remove("flash");
    for (const name of ["htmx-request", "htmx-settling", "htmx-swapping", "is-current", "show"]) {
      if (from.classList.contains(name)) to.classList.add(name);
    }
    syncAttributes(from, to);
    if (!typing && from.tagName === "INPUT" && from.type !== "file") {
      if (/checkbox|radio/.test(from.type)) from.checked = to.hasAttribute("checked") || from.checked;
      else if (from.defaultValue !== from.value && !to.hasAttribute("value")) { /* keep what was typed */ }
    }
    if (from.tagName !== "TEXTAREA" && from.tagName !== "SELECT") morphChildren(from, to, added);
    if (counted) flash(from);
  };

  const morphChildren = (from, to, added) => {
    const keyed = new Map();
    for (const child of from.children) if (keyOf(child)) keyed.set(keyOf(child), child);
    const wanted = new Set([...to.children].map(keyOf).filter(Boolean));
    let cursor = from.firstChild;
    for (const next of [...to.childNodes]) {
      const key = keyOf(next);
      while (cursor && keyOf(cursor) && !wanted.has(keyOf(cursor)) && key) {
        const gone = cursor;
        cursor = cursor.nextSibling;
        gone.remove();
      }
      const match = key ? keyed.get(key) : null;
      if (match && match.nodeName === next.nodeName) {
        if (match === cursor) cursor = cursor.nextSibling;
        else from.insertBefore(match, cursor);
        morphNode(match, next, added);
      } else if (cursor && !key && sameKind(cursor, next)) {
        const here = cursor;
        cursor = cursor.nextSibling;
        morphNode(here, next, added);
      } else {
        from.insertBefore(next, cursor);
        if (next.nodeType === 1) added.push(next);
      }
    }
    while (cursor) {
      const gone = cursor;
      cursor = cursor.nextSibling;
      gone.remove();
    }
  };

  htmx.defineExtension("morph", {
    isInlineSwap: (style) => style === "morph",
    handleSwap: (style, target, fragment) => {
      if (style !== "morph") return false;
      const added = [];
      morphChildren(target, fragment, added);
      return added.length ? added : [target];
    },
  });
})();
