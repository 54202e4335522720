// Draws <div class="plot" data-plot="id of a <script type=application/json>"> with plotly in the colours of the theme.
// The JSON is {data: [traces], layout: {..}}. Wherever a colour is expected, "@late" or "@accent" names a token of tower.css.
// Loads plotly only on pages that have a plot (the address is in the element's data-plotly).
(() => {
  let loading = null;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const paint = (value) => {
    if (typeof value === "string") return value.replace(/^@([a-z0-9-]+)$/, (_, name) => token(name) || value);
    if (Array.isArray(value)) return value.map(paint);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, paint(v)]));
    return value;
  };
  const load = (address) => {
    loading = loading || new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    return loading;
  };
  const axis = () => ({
    gridcolor: token("line"), linecolor: token("line"), zerolinecolor: token("line"), tickcolor: token("line"),
    tickfont: { color: token("ink-2"), size: 12 }, title: { font: { color: token("ink-2"), size: 12 } },
    automargin: true, fixedrange: true, ticks: "", showline: false, zeroline: false,
  });
  const merge = (base, over) => {
    const result = { ...base };
    for (const [key, value] of Object.entries(over || {})) {
      const both = value && typeof value === "object" && !Array.isArray(value) && base?.[key] && typeof base[key] === "object";
      result[key] = both ? merge(base[key], value) : value;
    }
    return result;
  };
  const draw = (element) => {
    const source = document.getElementById(element.dataset.plot);
    if (!source) return;
    const given = JSON.parse(source.textContent);
    const axes = Object.fromEntries(["xaxis", "yaxis", ...Object.keys(given.layout || {}).filter((k) => /^[xy]axis\d/.test(k))].map((k) => [k, axis()]));
    const base = {
      ...axes, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, autosize: true, hovermode: "x unified", bargap: 0.3,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: token("ink") }, margin: { l: 8, r: 8, t: 8, b: 8 }, height: element.clientHeight || 240,
      hoverlabel: { bgcolor: token("raised"), bordercolor: token("line"), font: { color: token("ink"), size: 12 } },
      colorway: ["accent", "ink-2", "waived", "at-risk", "late"].map(token),
    };
    window.Plotly.react(element, paint(given.data), merge(base, paint(given.layout)), { displayModeBar: false, responsive: true, locale: "en" });
  };
  const all = (root = document) => {
    const found = [...root.querySelectorAll("[data-plot]")];
    if (!found.length) return;
    load(found[0].dataset.plotly).then(
      () => found.forEach(draw),
      () => found.forEach((one) => { one.textContent = "The plot could not be drawn. The table below holds its numbers."; }),
    );
  };
  document.addEventListener("DOMContentLoaded", () => all());
  document.addEventListener("tower:theme", () => window.Plotly && all());
  document.addEventListener("htmx:afterSwap", (event) => all(event.target));
  window.addEventListener("beforeprint", () => window.Plotly && document.querySelectorAll("[data-plot]").forEach((one) => window.Plotly.Plots.resize(one)));
})();
