"use strict";
/* Start, tabs, keys, deep links (#customer=12&step=3&whatif=tea&view=everybody&theme=dark), help. */

const state = { row: 0, moment: 0, whatif: null, branchLine: null, view: "one" };
const VIEWS = { one: "tab-one", all: "tab-all", help: "tab-help" };

function choose(row) {
  stop();
  Object.assign(state, { row, moment: 0, whatif: null, branchLine: null });
  openCustomer(state, row);
  markPerson(row);
  remember(state);
  if (window.innerWidth <= 900) { $("#chooser").open = false; $("#stage").focus({ preventScroll: false }); }
}

function neighbour(step) {
  const rows = people.shown.length ? people.shown : facts.customers.map((_, row) => row), here = rows.indexOf(state.row);
  choose(rows[(here + step + rows.length) % rows.length]);
}

function show(view, focus) {
  state.view = view;
  if (view !== "one") stop();
  for (const [name, tab] of Object.entries(VIEWS)) {
    const here = name === view, button = document.getElementById(tab);
    document.getElementById(name).hidden = !here;
    button.setAttribute("aria-selected", here);
    button.tabIndex = here ? 0 : -1;
    if (here && focus) button.focus();
  }
  if (view === "all") drawEverybody();
  if (view === "one" && facts) openCustomer(state, state.row);
  remember(state);
}

/* The address tells where one is; a sandbox that does not allow that loses nothing else. */
function remember() {
  const where = state.view === "one" ? { customer: facts.customers[state.row].id } : { view: state.view === "all" ? "everybody" : "help" };
  if (state.view === "one") {
    const [a] = player.moments[state.moment] || [null];
    if (a !== null) where.step = a; else where.moment = state.moment;
    if (state.whatif !== null) { where.whatif = labelName(state.whatif); where.at = state.branchLine - player.a.lines[0]; }
  }
  try { history.replaceState(null, "", "#" + new URLSearchParams(where)); } catch { /* opaque origin */ }
}

function follow() {
  const where = new URLSearchParams(location.hash.slice(1));
  if (where.get("theme")) setTheme(where.get("theme"));
  const id = where.has("customer") ? Number(where.get("customer")) : facts.wanted, row = facts.customers.findIndex(c => c.id === id);
  const asked = where.has("customer") && row < 0;
  state.row = row < 0 ? firstRow() : row;
  Object.assign(state, { moment: 0, whatif: null, branchLine: null });
  openCustomer(state, state.row);
  if (where.has("step")) { const step = Number(where.get("step")), m = player.moments.findIndex(x => x[0] === step); state.moment = m < 0 ? 0 : m; }
  if (where.has("moment")) state.moment = Math.max(0, Math.min(Number(where.get("moment")) || 0, player.moments.length - 1));
  if (where.has("whatif")) {
    const action = [0, ...facts.labels.keys()].length ? [...Array(facts.labels.length + 1).keys()].find(a => labelName(a) === where.get("whatif")) : undefined;
    const at = where.has("at") ? Number(where.get("at")) : player.moments[state.moment][0];
    if (action !== undefined && at !== null) Object.assign(state, { whatif: action, branchLine: player.a.lines[at] });
  }
  drawPaths(state);
  showMoment(state);
  markPerson(state.row);
  show(where.get("view") === "everybody" ? "all" : where.get("view") === "help" ? "help" : "one");
  if (asked) note(`Customer ${where.get("customer")} is not on this page, which holds ${facts.customers.length} of ${facts.run.customers}; python -m sim.replay customer=${Number(where.get("customer")) || 0} writes one with it.`);
}
const firstRow = () => { const cast = facts.casts.find(c => c.key === "best") || facts.casts[0]; return cast ? facts.customers.findIndex(c => c.id === cast.customers[0]) : 0; };

function note(text) { const box = $("#notes"); box.hidden = false; box.append(el("p", null, text)); }

function setTheme(theme) { document.documentElement.dataset.theme = theme === "dark" ? "dark" : "light"; }

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input:not([type=range]), select, textarea"), tab = event.target.matches?.("[role=tab]");
  if (typing || state.view !== "one" || tab && event.key !== " ") return;
  const onButton = event.target.matches?.("button, summary");
  const act = { ArrowRight: () => go(state, state.moment + 1), ArrowLeft: () => go(state, state.moment - 1), Home: () => go(state, 0), End: () => go(state, player.moments.length - 1),
    n: () => neighbour(1), p: () => neighbour(-1), d: () => go(state, partMoment(state)), " ": onButton ? null : () => playOrPause(state) }[event.key];
  if (act) { event.preventDefault(); if (event.key !== " " ) stop(); act(); }
}

function tabKeys(event) {
  const order = Object.keys(VIEWS), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) { event.preventDefault(); event.stopPropagation(); show(order[(order.indexOf(state.view) + step + order.length) % order.length], true); }
}

function help() {
  const run = facts.run, camera = run.camera ? Object.entries(run.camera).map(([k, v]) => `${k} ${v}`).join(", ") : "unknown", a = facts.policies.a, b = facts.policies.b;
  const why = p => !p.method ? "not explained on this page" : p.method === "linear"
    ? "a linear bandit: exact contributions of each feature, less its mean over the sessions here, to the lead of what it did over its best rival, in money"
    : "occlusion: a feature is set to its mean over the sessions here, and the fall of the log-probability of what was done is its weight (in nats; probabilities below 0.1 % count as 0.1 %). Weights need not add up";
  const checked = p => p.asked_again ? ` Asked again, the saved policy decided as logged at ${p.asked_again[0].toLocaleString("en")} of ${p.asked_again[1].toLocaleString("en")} opportunities.` : "";
  $("#help").append(
    el("section", { class: "card" }, el("h2", null, "What this page shows"),
      el("p", null, `Simulated customers of the run ${run.name} (shop "${run.env}", training seed ${run.seed}, evaluation seed ${run.evaluation_seed}, camera: ${camera}). Each customer is shown twice: under ${nameOf("a")} and under ${nameOf("b")}, with the same luck. Until the two do something different, everything is the same; from there on the lives go their own ways.`),
      el("p", null, `${facts.customers.length} of ${run.customers.toLocaleString("en")} customers are on this page: the ends of every list, and some of no distinction. "Everybody" counts them all. What is marked hidden (true emotion, mood, fatigue, worth, chances) is known to the simulator and never to a policy.`)),
    el("section", { class: "card" }, el("h2", null, "Signs"), el("dl", null, [["hold", "The policy held back."], ["ignored", "It pushed a label, which was ignored."], ["click", "The customer clicked and did not buy."], ["buy", "The customer bought."], ["out", "The customer asked never to be pushed to again; that ends the life."], ["lapse", "The customer stayed away too long; that ends the life."]].map(([kind, words]) => [el("dt", null, icon(kind, 20)), el("dd", null, words)]),
      el("dt", null, "◆ emotion"), el("dd", null, "the true expression of the picture; the bars are what the camera's network made of it."),
      el("dt", null, "Probability"), el("dd", null, "with which the policy chooses each label here; struck out where a label is not allowed."),
      el("dt", null, "Worth now ★"), el("dd", null, "the money that a push earns at once on average, from the customer's true state. The star is the best at this moment; it may be dear later, since pushes tire."),
      el("dt", null, "What if"), el("dd", null, "the money more or less at the end of this life, had this label been pushed here and the policy then gone on by itself, on the same luck. One draw, not an average. Click it to see the branch."))),
    el("section", { class: "card" }, el("h2", null, "Why a label was pushed"), el("p", null, `${nameOf("a")}: ${why(a)}.${checked(a)}`), el("p", null, `${nameOf("b")}: ${why(b)}.${checked(b)}`)),
    el("section", { class: "card" }, el("h2", null, "Keys and links"), el("p", null, el("kbd", null, "←"), " ", el("kbd", null, "→"), " one moment · ", el("kbd", null, "space"), " play, pause · ", el("kbd", null, "Home"), " ", el("kbd", null, "End"), " · ", el("kbd", null, "n"), " ", el("kbd", null, "p"), " next, previous customer of the list · ", el("kbd", null, "d"), " where they part"),
      el("p", null, "The address names what you see, for a colleague with the same file: ", el("code", null, "#customer=12&step=3&whatif=tea"), ", ", el("code", null, "#view=everybody"), ".")));
}

(async function start() {
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  $("#theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  try { await unpack(); } catch (error) { $("#loading").textContent = `The sessions cannot be shown: ${error.message}.`; return; }
  $("#loading").remove();
  const title = `${facts.policies.a.name} and ${nameOf("b")} on the same ${facts.run.customers.toLocaleString("en")} customers`;
  document.title = `Session replay · ${facts.run.name}`;
  $("#subtitle").textContent = `${title} · ${facts.run.name}`;
  facts.notes.forEach(note);
  $("#chooser").open = window.innerWidth > 900;
  help();
  $("#one").hidden = false;
  buildPeople(state, choose);
  follow();
  for (const [view, tab] of Object.entries(VIEWS)) { const button = document.getElementById(tab); button.addEventListener("click", () => show(view)); button.addEventListener("keydown", tabKeys); }
  document.addEventListener("keydown", keys);
  window.addEventListener("hashchange", follow);
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if ((width < 900) !== (window.innerWidth < 900)) { width = window.innerWidth; $("#chooser").open = width > 900; } if (state.view === "one") { drawPaths(state); showMoment(state); } });
  document.documentElement.dataset.ready = "true";
})();
