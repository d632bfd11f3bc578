"use strict";
/* Elements, marks and small charts. All text goes through textContent, so a name can never become markup. */

const $ = (selector, root = document) => root.querySelector(selector);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || (value === false && !name.startsWith("aria-"))) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false) node.append(child.nodeType ? child : document.createTextNode(String(child)));
  }
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/* The mark of what happened, around (x, y). */
function mark(kind, x, y, r = 5) {
  switch (kind) {
    case "hold": return svg("circle", { class: "m-hold", cx: x, cy: y, r: r - 1.6 });
    case "ignored": return svg("rect", { class: "m-ignored", x: x - r + 1.6, y: y - r + 1.6, width: 2 * r - 3.2, height: 2 * r - 3.2, rx: 1 });
    case "click": return svg("path", { class: "m-click", d: `M${x} ${y - r}L${x + r} ${y + r - 1}H${x - r}Z` });
    case "buy": return svg("path", { class: "m-buy", d: `M${x} ${y - r - 1.5}L${x + r + 1.5} ${y}L${x} ${y + r + 1.5}L${x - r - 1.5} ${y}Z` });
    case "out": return svg("path", { class: "m-out", d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}` });
    case "lapse": return svg("path", { class: "m-end", d: `M${x} ${y - r}V${y + r}M${x + 3.5} ${y - r}V${y + r}` });
  }
}
const icon = (kind, size = 14) => svg("svg", { width: size, height: size, viewBox: "-8 -8 16 16", "aria-hidden": "true" }, mark(kind, 0, 0, 5.5));

function key(pairs) {
  return el("div", { class: "key" }, pairs.map(([sign, words]) => el("span", null, sign, words)));
}
const stroke = which => svg("svg", { width: 26, height: 10, "aria-hidden": "true" }, svg("path", { class: `line-${which}`, d: "M1 5H25" }));

/* A face, or an empty head where the page shows no pictures. */
function face(image, alt) {
  const uri = facts.faces[image];
  if (uri) return el("img", { src: uri, alt, loading: "lazy" });
  return svg("svg", { class: "face", viewBox: "0 0 40 40", role: "img", "aria-label": `${alt} (no picture on this page)` },
    svg("rect", { width: 40, height: 40, fill: "var(--wash)" }),
    svg("circle", { cx: 20, cy: 16, r: 7.5, fill: "var(--line)" }), svg("path", { d: "M5 40c1-11 8-14 15-14s14 3 15 14z", fill: "var(--line)" }));
}

/* A small chart of several series over days: series [{which, points: [[day, value], ...], stepped}]. */
function chart(title, series, days, today, { low = null, high = null, zero = false, format = x => x.toFixed(1), note = "", id }) {
  const W = 320, H = 104, left = 30, right = 6, top = 8, bottom = 15;
  const values = series.flatMap(s => s.points.map(p => p[1]));
  let lo = low ?? Math.min(0, ...values), hi = high ?? Math.max(0, ...values);
  if (hi - lo < 1e-9) hi = lo + 1;
  const x = day => left + (W - left - right) * day / Math.max(days, 1), y = v => top + (H - top - bottom) * (hi - v) / (hi - lo);
  const plot = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${note}` });
  for (const v of zero ? [lo, 0, hi] : [lo, hi]) plot.append(svg("line", { class: "grid", x1: left, x2: W - right, y1: y(v), y2: y(v) }));
  for (const s of series) {
    if (!s.points.length) continue;
    let d = "";
    s.points.forEach(([day, v], i) => { d += i === 0 ? `M${x(day)} ${y(v)}` : s.stepped ? `H${x(day)}V${y(v)}` : `L${x(day)} ${y(v)}`; });
    plot.append(svg("path", { class: `line-${s.which}`, d }));
  }
  plot.append(svg("line", { class: "cursor", "data-left": left, "data-span": W - left - right, "data-days": Math.max(days, 1), x1: x(today), x2: x(today), y1: top - 4, y2: H - bottom }));
  const holder = el("div", { class: "chart", id }, el("h3", null, el("span", null, title), el("span", { class: "soft value" }, note)), plot);
  for (const [v, text] of zero && lo < -1e-9 ? [[lo, format(lo)], [0, "0"], [hi, format(hi)]] : [[lo, format(lo)], [hi, format(hi)]]) plot.append(svg("text", { x: left - 5, y: y(v) + 4, "text-anchor": "end" }, text.replace(/^-0(\.0+)?$/, "0").replace("-", "−")));
  plot.append(svg("text", { x: left, y: H - 2 }, "day 0"), svg("text", { x: W - right, y: H - 2, "text-anchor": "end" }, `day ${days}`));
  return holder;
}

function moveCursor(holder, day) {
  const cursor = $(".cursor", holder), { left, span, days } = cursor.dataset;
  const at = Number(left) + Number(span) * day / Number(days);
  cursor.setAttribute("x1", at);
  cursor.setAttribute("x2", at);
}
