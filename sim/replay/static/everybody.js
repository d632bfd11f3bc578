"use strict";
/* All customers at once: funnel, heat map, segments, confusion. */

const crowd = { policy: null, heat: "share", confusion: "share", built: false };
const HEATS = { share: "share of opportunities", bought: "purchases per push" };
const CONFUSIONS = { share: "how often", bought: "purchases per push", money: "money per opportunity" };

function drawEverybody() {
  crowd.policy = crowd.policy in facts.views ? crowd.policy : facts.policies.a.name;
  const view = facts.views[crowd.policy];
  const names = Object.keys(facts.views);
  const choose = (field, options, act) => el("div", { class: "switch", role: "group" }, Object.entries(options).map(([value, text]) => el("button", { "aria-pressed": crowd[field] === value, onclick: () => { crowd[field] = value; act(); } }, text)));
  $("#all").replaceChildren(
    el("div", { class: "cardhead", style: "margin:0" }, el("div", null, el("h2", null, `All ${facts.run.customers.toLocaleString("en")} customers in the log`), el("p", { class: "soft" }, `Not only the ${facts.customers.length} whose sessions are on this page.${facts.run.evaluated > facts.run.customers ? ` The evaluation met ${facts.run.evaluated.toLocaleString("en")} customers, whom the table of policies counts; the log keeps the first ${facts.run.customers.toLocaleString("en")}.` : ""}`)),
      choose("policy", Object.fromEntries(names.map(n => [n, n])), drawEverybody)),
    el("div", { class: "two" }, funnel(view), policyTable()),
    el("section", { class: "card" }, el("div", { class: "cardhead" }, el("h2", null, `What ${crowd.policy} does when the face seems …`), choose("heat", HEATS, drawEverybody)), heat(view)),
    el("section", { class: "card" }, el("div", { class: "cardhead" }, el("h2", null, "Money per customer, by kind of customer"), key([[stroke("a"), nameOf("a")], [stroke("b"), nameOf("b")]])), el("div", { class: "two" }, facts.segments.map(segment)),
      el("p", { class: "small soft", style: "margin-top:8px" }, "Dots are means, whiskers 95 % intervals over customers. Kinds are true ones, known to the simulator.")),
    el("section", { class: "card" }, el("div", { class: "cardhead" }, el("h2", null, "The true emotion against the one perceived"), choose("confusion", CONFUSIONS, drawEverybody)), confusion(view)));
}

function funnel(view) {
  const f = view.funnel, top = f.opportunities || 1;
  const row = (name, n, share, words, bad) => [el("span", null, name), el("span", { class: "bar" }, el("i", { class: bad ? "bad" : null, style: `width:${100 * share}%` })), el("span", { class: "num" }, el("b", null, n.toLocaleString("en")), el("span", { class: "soft small" }, ` ${words}`))];
  return el("section", { class: "card" }, el("div", { class: "cardhead" }, el("h2", null, `Funnel of ${crowd.policy}`)),
    el("div", { class: "funnel", id: "funnel" }, row("Opportunities", f.opportunities, 1, ""), row("Pushes", f.pushes, f.pushes / top, percent(f.pushes / top)),
      row("Clicks", f.clicks, f.clicks / top, `${percent(f.pushes ? f.clicks / f.pushes : 0)} of pushes`), row("Purchases", f.purchases, f.purchases / top, `${percent(f.clicks ? f.purchases / f.clicks : 0)} of clicks`),
      row("Opted out", f.opted_out, f.opted_out / f.customers, `${percent(f.opted_out / f.customers)} of customers`, true), row("Came no more", f.lapsed, f.lapsed / f.customers, `${percent(f.lapsed / f.customers)} of customers`, true)),
    el("p", { class: "small soft", style: "margin-top:9px" }, "The first four bars are shares of the opportunities, the striped ones of the customers."));
}

function policyTable() {
  const rows = Object.entries(facts.summary).sort((x, y) => y[1].value_per_customer.mean - x[1].value_per_customer.mean);
  return el("section", { class: "card" }, el("div", { class: "cardhead" }, el("h2", null, "Policies")), el("div", { class: "scroll" }, el("table", { class: "policies" },
    el("thead", null, el("tr", null, ["policy", "money per customer", "pushes", "opt-out", "days"].map(t => el("th", { scope: "col" }, t)))),
    el("tbody", null, rows.map(([name, m]) => el("tr", { class: name === facts.policies.a.name ? "a" : name === facts.policies.b.name && !facts.policies.b.run ? "b" : null },
      el("td", null, name), el("td", null, el("b", null, m.value_per_customer.mean.toFixed(2)), m.value_per_customer.high === null ? "" : ` ± ${((m.value_per_customer.high - m.value_per_customer.low) / 2).toFixed(2)}`),
      el("td", null, m.push_rate ? percent(m.push_rate.mean) : ""), el("td", null, m.opt_out_rate ? percent(m.opt_out_rate.mean) : ""), el("td", null, m.days_per_customer ? m.days_per_customer.mean.toFixed(0) : "")))))));
}

function cell(x, top, text, title, extra) {
  const depth = top > 0 ? Math.max(0, Math.min(1, x / top)) : 0;
  return el("td", { class: extra, style: `background:rgba(var(--heat),${(.06 + .6 * depth).toFixed(3)})`, title }, text);
}
const seenNames = () => [...facts.emotions, "not seen"];

function heat(view) {
  const { count, bought } = view.heat, names = seenNames(), K = facts.labels.length, shown = names.map((_, j) => count.some(row => row[j] > 0));
  const columnSum = names.map((_, j) => count.reduce((s, row) => s + row[j], 0));
  const value = (a, j) => crowd.heat === "share" ? (columnSum[j] ? count[a][j] / columnSum[j] : null) : (a && count[a][j] >= 10 ? bought[a][j] / count[a][j] : null);
  let top = 0;
  const rare = j => columnSum[j] < 30;
  for (let a = 0; a <= K; a++) names.forEach((_, j) => { if (shown[j] && !rare(j)) top = Math.max(top, value(a, j) ?? 0); });
  const rows = [];
  for (let a = crowd.heat === "share" ? 0 : 1; a <= K; a++) {
    rows.push(el("tr", null, el("th", { scope: "row" }, labelName(a)), names.map((name, j) => shown[j] && (value(a, j) === null || rare(j) ? el("td", { class: "soft" }, "·") : cell(value(a, j), top, crowd.heat === "share" ? Math.round(100 * value(a, j)) : (100 * value(a, j)).toFixed(1), `${labelName(a)} when the face seems ${name}: ${count[a][j]} opportunities, ${bought[a][j]} purchases`)))));
  }
  return el("div", { class: "scroll" }, el("table", { class: "heat", id: "heat" }, el("thead", null, el("tr", null, el("td"), names.map((name, j) => shown[j] && el("th", { scope: "col" }, name)))), el("tbody", null, rows)),
    el("p", { class: "small soft", style: "margin-top:6px" }, crowd.heat === "share" ? "In %, columns add up to 100: how the policy answers an emotion that it believes to see. Columns of fewer than 30 opportunities show dots." : "In %; cells of fewer than 10 pushes show a dot."));
}

function confusion(view) {
  const { count, pushed, bought, money: coins } = view.confusion, names = seenNames(), shown = names.map((_, j) => count.some(row => row[j] > 0));
  if (!count.some(row => row.some(n => n > 0))) return el("p", { class: "soft" }, "The true emotions of these pictures are not known.");
  const value = (i, j) => {
    const sum = count[i].reduce((s, n) => s + n, 0);
    if (crowd.confusion === "share") return sum ? count[i][j] / sum : null;
    if (count[i][j] < 30) return null;
    return crowd.confusion === "money" ? coins[i][j] / count[i][j] : pushed[i][j] >= 30 ? bought[i][j] / pushed[i][j] : null;
  };
  let top = 0;
  facts.emotions.forEach((_, i) => names.forEach((_, j) => { top = Math.max(top, value(i, j) ?? 0); }));
  const text = x => crowd.confusion === "money" ? x.toFixed(2) : crowd.confusion === "bought" ? (100 * x).toFixed(1) : Math.round(100 * x);
  return el("div", { class: "scroll" }, el("table", { class: "heat", id: "confusion" },
    el("thead", null, el("tr", null, el("td", { class: "soft small" }, "true ↓ seems →"), names.map((name, j) => shown[j] && el("th", { scope: "col" }, name)))),
    el("tbody", null, facts.emotions.map((name, i) => el("tr", null, el("th", { scope: "row" }, name), names.map((seen, j) => shown[j] && (value(i, j) === null ? el("td", { class: i === j ? "soft right" : "soft" }, "·") : cell(value(i, j), top, text(value(i, j)), `is ${name}, seems ${seen}: ${count[i][j]} opportunities`, i === j ? "right" : null))))))),
    el("p", { class: "small soft", style: "margin-top:6px" }, crowd.confusion === "share" ? "In % of the opportunities with that true emotion; framed cells are read rightly." : "Framed cells are read rightly; cells of fewer than 30 opportunities show a dot."));
}

function segment(part) {
  const narrow = window.innerWidth < 620, W = narrow ? 380 : 560, rowH = 36, left = narrow ? 108 : 152, right = 58, H = 26 + rowH * part.rows.length, sides = [["a", nameOf("a")], ["b", nameOf("b")]];
  const all = facts.segments.flatMap(p => p.rows.flatMap(r => sides.map(([, n]) => r.value[n]))), lo = Math.min(0, ...all.map(v => v.low)), hi = Math.max(0.01, ...all.map(v => v.high));
  const x = v => left + (W - left - right) * (Math.max(lo, Math.min(hi, v)) - lo) / (hi - lo);
  const plot = svg("svg", { class: "segment", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${part.title}: ` + part.rows.map(r => `${r.name} ${sides.map(([, n]) => `${n} ${r.value[n].mean.toFixed(2)}`).join(", ")}`).join("; ") });
  for (let k = 0; k <= 4; k++) { const v = lo + (hi - lo) * k / 4; plot.append(svg("line", { class: "grid", x1: x(v), x2: x(v), y1: 18, y2: H }), svg("text", { class: "soft", x: x(v), y: 12, "text-anchor": "middle" }, v.toFixed(0))); }
  part.rows.forEach((r, i) => {
    const y = 26 + rowH * i;
    plot.append(svg("text", { x: left - 12, y: y + 11, "text-anchor": "end" }, r.name), svg("text", { class: "soft", x: left - 12, y: y + 25, "text-anchor": "end", style: "font-size:11px" }, `${r.n.toLocaleString("en")} customers`));
    sides.forEach(([side, name], k) => {
      const v = r.value[name], yy = y + 6 + 14 * k;
      plot.append(svg("line", { class: `line-${side}`, x1: x(v.low), x2: x(v.high), y1: yy, y2: yy }), side === "a" ? svg("circle", { class: "dot-a", cx: x(v.mean), cy: yy, r: 5 }) : svg("rect", { class: "dot-b", x: x(v.mean) - 4.5, y: yy - 4.5, width: 9, height: 9 }),
        svg("text", { x: W - right + 10, y: yy + 4, style: `fill:var(--${side})` }, v.mean.toFixed(2)));
    });
  });
  return el("div", null, el("h3", { style: "margin-bottom:4px" }, part.title), plot);
}
