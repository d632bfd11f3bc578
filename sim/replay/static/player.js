"use strict";
/* One customer: what the camera saw, what each policy did, why, what came of it, and what else could have been. */

const player = { a: null, b: null, moments: [], timer: null, asked: new Set() };

function openCustomer(state, row) {
  const c = facts.customers[row];
  Object.assign(player, { a: life("a", row), b: life("b", row) });
  player.moments = moments(player.a, player.b, c.part);
  player.days = Math.max(player.a.day, player.b.day);
  state.moment = Math.min(state.moment, player.moments.length - 1);
  drawStage(state);
}

/* The opportunity of a side at a moment: its own, or its last one before, marked as past or gone. */
function atMoment(side, moment) {
  const index = side === "a" ? 0 : 1, own = player.moments[moment][index], l = player[side];
  if (own !== null) return { o: opportunity(side, l.lines[own]), index: own, now: true, gone: false };
  let last = 0;
  for (let m = moment; m >= 0; m--) if (player.moments[m][index] !== null) { last = player.moments[m][index]; break; }
  return { o: opportunity(side, l.lines[last]), index: last, now: false, gone: last === l.lines.length - 1 };
}
const today = moment => Math.max(...["a", "b"].map((side, i) => player.moments[moment][i] === null ? -1 : columns[`${side}/day`][player[side].lines[player.moments[moment][i]]]));

function drawStage(state) {
  const c = facts.customers[state.row], first = opportunity("a", player.a.lines[0]);
  const total = (side, l) => el("div", { class: `total ${side}` }, el("div", { class: "name" }, nameOf(side)),
    el("div", { class: "sum", id: `value-${side}` }, money(l.value)), el("div", { class: "end" }, `${ending(l.flags)}, day ${l.day + 0}`));
  $("#stage").replaceChildren(
    el("section", { class: "card hero" },
      el("div", { class: "shot" }, face(first.image, `Customer ${c.id} at the first visit`)),
      el("div", { class: "words" }, el("h2", null, `Customer ${c.id}`), story(c)),
      el("div", { class: "totals" }, total("a", player.a), total("b", player.b))),
    el("section", { class: "card", "aria-label": "Timeline" }, controls(state), el("div", { id: "track" }), el("div", { class: "charts", id: "charts" }),
      key([[icon("hold"), "held back"], [icon("ignored"), "pushed, ignored"], [icon("click"), "clicked"], [icon("buy"), "bought"], [icon("out"), "opted out"], [icon("lapse"), "came no more"],
        [stroke("a"), nameOf("a")], [stroke("b"), nameOf("b")], [stroke("w"), "what if"]])),
    el("section", { id: "else" }),
    el("div", { class: "sides" }, el("section", { class: "card side a", id: "side-a", "aria-label": nameOf("a") }), el("section", { class: "card side b", id: "side-b", "aria-label": nameOf("b") })));
  drawPaths(state);
  showMoment(state);
}

function story(c) {
  const visits = plural(c.visits, "visit"), wrong = c.misread ? `their emotion was misread at ${c.misread} of ${visits}` : `their emotion was read rightly at every one of ${visits}`;
  const known = !c.enrolled ? "not enrolled, so the till cannot know them" : c.recognised === c.visits ? "recognised at every visit" : `enrolled, recognised at ${c.recognised} of ${visits}`;
  const apart = c.part < 0 ? ["The two policies do the same to the end."] : (() => {
    const shared = c.part < Math.min(player.a.lines.length, player.b.lines.length);
    const o = opportunity("a", player.a.lines[Math.min(c.part, player.a.lines.length - 1)]), p = opportunity("b", player.b.lines[Math.min(c.part, player.b.lines.length - 1)]);
    const did = q => q.action ? `pushed ${labelName(q.action)}` : "held back";
    return [el("b", null, `They part on day ${o.day}`), shared && o.action !== p.action ? `, opportunity ${c.part + 1}: ${nameOf("a")} ${did(o)}, ${nameOf("b")} ${did(p)}.` : ": one of the two lives ends there."];
  })();
  return [el("p", null, `Wears the face of ${c.person}; ${known}; ${wrong}${c.masked ? `; masked at ${c.masked}` : ""}${c.mistaken ? `; taken for somebody else at ${c.mistaken}` : ""}.`), el("p", null, apart)];
}

/* Drawn, since fonts differ in which arrows they have. */
function sign(path) { return svg("svg", { width: 15, height: 15, viewBox: "0 0 16 16", "aria-hidden": "true", class: "sign" }, svg("path", { d: path })); }
const SIGNS = { start: "M2 2h2v12H2zM14 2v12L5 8z", back: "M12 2v12L3 8z", play: "M3 1.5v13L14 8z", pause: "M3 2h4v12H3zM9 2h4v12H9z", on: "M4 2v12l9-6z", end: "M12 2h2v12h-2zM2 2v12l9-6z", part: "M7 15V9L2.5 4.5 4 3l4 4 4-4 1.5 1.5L9 9v6z" };

function controls(state) {
  const button = (id, label, path, act) => el("button", { id, class: "icon", "aria-label": label, title: label, onclick: act }, sign(path));
  return [el("div", { class: "controls" },
    button("to-start", "To the beginning (Home)", SIGNS.start, () => go(state, 0)), button("back", "One back (left arrow)", SIGNS.back, () => go(state, state.moment - 1)),
    el("button", { id: "play", class: "play", title: "Play or pause (space)", onclick: () => playOrPause(state) }, sign(SIGNS.play), "Play"),
    button("on", "One on (right arrow)", SIGNS.on, () => go(state, state.moment + 1)), button("to-end", "To the end (End)", SIGNS.end, () => go(state, player.moments.length - 1)),
    el("span", { class: "now", id: "now" }),
    el("button", { id: "to-part", title: "Where the policies part (d)", disabled: facts.customers[state.row].part < 0, onclick: () => go(state, partMoment(state)) }, sign(SIGNS.part), "Where they part"),
    el("select", { id: "speed", class: "speed", "aria-label": "Speed" }, [["900", "slow"], ["450", "normal"], ["150", "fast"]].map(([v, t]) => el("option", { value: v, selected: v === "450" }, t)))),
  el("input", { id: "slider", type: "range", min: 0, max: player.moments.length - 1, step: 1, value: state.moment, "aria-label": "Moment of the session", oninput: event => go(state, Number(event.target.value)) })];
}
function playButton(playing) { if ($("#play")) $("#play").replaceChildren(sign(playing ? SIGNS.pause : SIGNS.play), playing ? "Pause" : "Play"); }
const partMoment = state => Math.max(0, Math.min(facts.customers[state.row].part, player.moments.length - 1));

/* Timeline lanes and charts: drawn once per customer and branch; the cursor moves over them. */
function drawPaths(state) {
  const branch = chosenBranch(state), steps = branch ? branchSteps(branch) : null;
  const days = Math.max(player.days, steps ? steps[steps.length - 1].day : 0, 1);
  player.shownDays = days;
  const narrow = $("#track").clientWidth < 560, W = narrow ? 360 : 960, left = narrow ? 0 : 118, H = steps ? 108 : 82, n = player.moments.length;
  const at = moment => left + 10 + (W - left - 26) * (n > 1 ? moment / (n - 1) : 0), room = (W - left - 26) / Math.max(n - 1, 1), r = Math.max(2.4, Math.min(5.5, room * .55));
  const dayOf = player.moments.map((_, m) => today(m));
  const track = svg("svg", { class: "track", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Timeline of both policies, one place per opportunity; the slider above moves through it" });
  player.at = at;
  const lane = (y, name, which, events) => { // events: [x, {day, action, flags}, moment or null]
    if (!narrow) track.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end", style: `fill:var(--${which});font-weight:650` }, name.length > 17 ? name.slice(0, 16) + "…" : name));
    if (!events.length) return;
    track.append(svg("line", { class: "lane", x1: events[0][0], x2: events[events.length - 1][0], y1: y, y2: y, style: `stroke:var(--${which})` }));
    for (const [x, e, m] of events) {
      track.append(mark(outcome(e), x, y, r));
      if (e.flags & (OPTED_OUT | LAPSED)) track.append(mark(e.flags & OPTED_OUT ? "out" : "lapse", x + Math.min(r + 7, 14), y, 5));
      if (m !== null) track.append(svg("rect", { class: "hit", x: x - Math.max(room, 6) / 2, y: y - 12, width: Math.max(room, 6), height: 24, onclick: () => go(state, m) }, svg("title", null, `day ${e.day}: ${labelName(e.action)}, ${OUTCOME_WORDS[outcome(e)]}`)));
    }
  };
  const brief = (side, line) => ({ day: columns[`${side}/day`][line], action: columns[`${side}/action`][line], flags: columns[`${side}/flags`][line] });
  const events = (side, i) => player.moments.flatMap((pair, m) => pair[i] === null ? [] : [[at(m), brief(side, player[side].lines[pair[i]]), m]]);
  const c = facts.customers[state.row];
  if (c.part >= 0) {
    const x = at(partMoment(state)), late = x > W * .8;
    track.append(svg("line", { class: "part", x1: x, x2: x, y1: 8, y2: H - 16 }), svg("text", { x: late ? x - 5 : x + 5, y: 9, "text-anchor": late ? "end" : "start", style: "fill:var(--w)" }, "they part"));
  }
  lane(24, nameOf("a"), "a", events("a", 0));
  lane(50, nameOf("b"), "b", events("b", 1));
  if (steps) { // a branch has days of its own: placed between the moments of both lives
    const begin = player.moments.findIndex(m => m[0] === player.a.lines.indexOf(state.branchLine));
    let reached = begin - 1;
    lane(76, `what if: ${labelName(branch.action)}`, "w", steps.map((s, i) => {
      if (i === 0) reached = begin;
      else { const m = dayOf.findIndex((d, k) => k > reached && d >= s.day); reached = Math.min(m < 0 ? reached + .5 : dayOf[m] === s.day ? m : Math.max(reached + .4, m - .5), n - .6); }
      return [at(reached), s, null];
    }));
  }
  let written = -99;
  dayOf.forEach((day, m) => { if ((m === 0 || day !== dayOf[m - 1]) && at(m) - written > (narrow ? 34 : 46)) { written = at(m); track.append(svg("text", { x: at(m), y: H - 2, "text-anchor": m === 0 && narrow ? "start" : "middle" }, m === 0 ? "day 0" : day)); } });
  track.append(svg("line", { class: "cursor", id: "cursor", y1: 10, y2: H - 14 }));
  $("#track").replaceChildren(track);

  const series = (name, which) => ({ which, points: player[which].lines.map(line => [columns[`${which}/day`][line], columns[`${which}/${name}`][line]]) });
  const running = which => ({ which, stepped: true, points: [[0, 0], ...player[which].lines.map((line, i) => [columns[`${which}/day`][line], player[which].money[i]])] });
  const made = { money: [running("b"), running("a")], mood: [series("mood", "b"), series("mood", "a")], fatigue: [series("fatigue", "b"), series("fatigue", "a")], valence: [series("valence", "b"), series("valence", "a")] };
  if (steps) {
    const before = player.a.lines.indexOf(state.branchLine);
    let sum = before ? player.a.money[before - 1] : 0;
    made.money.push({ which: "w", stepped: true, points: [[steps[0].day, sum], ...steps.map(s => [s.day, sum += s.reward])] });
    for (const name of ["mood", "fatigue"]) made[name].push({ which: "w", points: steps.map(s => [s.day, s[name]]) });
  }
  $("#charts").replaceChildren(
    chart("Money so far", made.money, days, 0, { id: "chart-money", zero: true, format: v => v.toFixed(0) }),
    chart("Mood (hidden)", made.mood, days, 0, { id: "chart-mood", low: Math.min(-0.5, ...made.mood.flatMap(s => s.points.map(p => p[1]))), high: Math.max(0.5, ...made.mood.flatMap(s => s.points.map(p => p[1]))), zero: true }),
    chart("Fatigue (hidden)", made.fatigue, days, 0, { id: "chart-fatigue" }));
}

function showMoment(state) {
  const at = { a: atMoment("a", state.moment), b: atMoment("b", state.moment) }, day = today(state.moment);
  const slider = $("#slider"), words = `day ${day}, ${state.moment + 1} of ${player.moments.length}`;
  slider.value = state.moment;
  slider.setAttribute("aria-valuetext", `${words}; ${sentence(at.a)}`);
  $("#now").textContent = words;
  $("#back").disabled = $("#to-start").disabled = state.moment === 0;
  $("#on").disabled = $("#to-end").disabled = state.moment === player.moments.length - 1;
  const spot = player.at(state.moment);
  $("#cursor").setAttribute("x1", spot); $("#cursor").setAttribute("x2", spot);
  for (const [name, read] of [["money", side => money(player[side].money[at[side].index])], ["mood", side => at[side].o.mood.toFixed(2)], ["fatigue", side => at[side].o.fatigue.toFixed(1)]]) {
    moveCursor($(`#chart-${name}`), day);
    $(`#chart-${name} .value`).replaceChildren(el("b", { style: "color:var(--a)", id: `now-${name}-a` }, read("a")), " / ", el("b", { style: "color:var(--b)", id: `now-${name}-b` }, read("b")));
  }
  drawSide(state, "a", at.a);
  drawSide(state, "b", at.b);
  drawElse(state, at.a);
  if (!player.timer) $("#live").textContent = `${words}. ${nameOf("a")} ${sentence(at.a)}`;
  if (facts.live && at.a.now && !player.timer) askForBranches(state, at.a.o);
}

function sentence({ o, gone, now }) {
  if (gone && !now) return `the customer is gone (${ending(o.flags)}).`;
  const did = o.action ? `pushed ${labelName(o.action)}` : o.requested ? `wanted to push ${labelName(o.requested)}, which was not allowed` : "held back";
  return `${did}${o.action ? `: ${OUTCOME_WORDS[outcome(o)]}` : ""}${o.flags & OPTED_OUT ? ", and the customer opted out" : ""}.`;
}

function drawSide(state, side, { o, index, now, gone }) {
  const l = player[side], header = el("header", null, el("b", null, nameOf(side)), el("span", { class: "small soft" }, `day ${o.day} · visit ${o.visit + 1} · opportunity ${index + 1} of ${l.lines.length}`));
  const body = el("div", { class: "body" });
  if (!now) body.append(el("p", { class: "gone" }, gone ? `Gone since day ${o.day}: the customer ${ending(o.flags)}. The last opportunity:` : `No opportunity for ${nameOf(side)} at this moment; the last one, on day ${o.day}:`));
  body.append(verdict(side, o, index), seenCard(o), offerTable(state, side, o, now), whyCard(side, o));
  $(`#side-${side}`).replaceChildren(header, body);
}

function verdict(side, o, index) {
  const what = outcome(o), coins = [];
  for (const [name, text, sign] of [["margin", "margin", 1], ["click_value", "click", 1], ["push_cost", "push", -1], ["opt_out_cost", "opt-out", -1], ["refund", "returned", -1]]) if (o[name] > 1e-6) coins.push(`${text} ${money(sign * o[name], true)}`);
  const chance = p => p > 0 && p < .095 ? `${(100 * p).toFixed(1)} %` : percent(p);
  return el("div", { class: "verdict" },
    el("span", { class: "chip" }, icon(what, 18), o.action ? `Pushed ${labelName(o.action)}` : o.requested ? `Wanted ${labelName(o.requested)}, not allowed` : "Held back"), " ",
    o.action ? `with probability ${percent(o.probability[o.action])}: ${OUTCOME_WORDS[what]}` : `with probability ${percent(o.probability[0])}`,
    o.flags & OPTED_OUT ? el("b", { class: "no" }, " · opted out for ever") : "", o.flags & LAPSED ? el("b", { class: "no" }, " · came no more") : "", ".",
    el("div", { class: "small soft" }, el("span", { class: "coins", id: `reward-${side}` }, `${money(o.reward, true)} money`), coins.length > 1 ? ` (${coins.join(", ")})` : "", ` · so far `, el("b", { id: `sofar-${side}` }, money(player[side].money[index])),
      o.action ? ` · chances: click ${chance(o.click_probability)}, then purchase ${chance(o.purchase_probability)}, opt-out ${chance(o.opt_out_probability)}` : ""));
}

function seenCard(o) {
  const seen = seenEmotion(o), truth = o.true_emotion;
  const bars = el("div", { class: "bars", role: "group", "aria-label": "Perceived emotions beside the true one" });
  facts.emotions.forEach((name, j) => bars.append(
    el("span", { class: j === truth ? "true" : null }, name), el("span", { class: "bar" }, el("i", { style: `width:${100 * o.emotion[j]}%` })),
    el("span", { class: j === truth ? "num tick" : "num" }, j === truth ? `${Math.round(100 * o.emotion[j])} ◆` : Math.round(100 * o.emotion[j]))));
  const line = (sign, good, ...text) => el("li", null, el("span", { class: good === null ? "soft" : good ? "ok" : "no", "aria-hidden": "true" }, sign), el("span", null, ...text));
  const tells = el("ul", { class: "tells" });
  if (!o.face) tells.append(line("✗", false, "No face was seen."));
  else if (seen < 0) tells.append(line("–", null, "The camera tells no emotion."));
  else tells.append(truth < 0 ? line("–", null, `Seems ${facts.emotions[seen]}; the truth is not known.`) : seen === truth ? line("✓", true, `Seems ${facts.emotions[seen]}, and is.`) : line("✗", false, `Seems ${facts.emotions[seen]}, is ${facts.emotions[truth]}: misread.`));
  const sure = `similarity ${o.similarity.toFixed(2)}`, enrolled = facts.customers[state.row].enrolled;
  tells.append(o.recognised === SELF ? line("✓", true, `Recognised as ${facts.names[o.identity] ?? "themselves"} (${sure}), rightly.`)
    : o.recognised === OTHER ? line("✗", false, `Taken for ${facts.names[o.identity] ?? "somebody else"} (${sure}), wrongly: the till shows a stranger's record.`)
      : enrolled ? line("✗", false, "Not recognised, although enrolled: the till shows an empty record.") : line("✓", true, "Not recognised, and not enrolled: rightly unknown."));
  const worn = o.true_mask ? "wears a mask" : "wears no mask", right = (o.mask > .5) === !!o.true_mask;
  if (o.face) tells.append(line(right ? "✓" : "✗", right, `${worn[0].toUpperCase()}${worn.slice(1)}; seen as masked with ${percent(o.mask)}.`));
  return el("section", null, el("h3", null, "What the camera saw"),
    el("div", { class: "seen", style: "margin-top:6px" }, el("div", { class: "shot" }, face(o.image, "What the camera saw")), el("div", null, bars, el("p", { class: "small soft", style: "margin-top:3px" }, "perceived, in %; ◆ the true emotion")), tells));
}

function offerTable(state, side, o, now) {
  const known = o.expected && o.allowed, made = side === "a" && now ? branchesOf(o.line) : [], withElse = side === "a" && (made.length || !facts.live && facts.customers[state.row].ahead);
  const best = known ? Math.max(...o.expected.filter((_, a) => o.allowed[a])) : 0;
  const head = [el("th", { scope: "col" }, "Label"), el("th", { scope: "col", class: "num price" }, "Price"), el("th", { scope: "col" }, "Probability"), known && el("th", { scope: "col", class: "num", title: "Money that a push earns at once on average; nobody in the shop can know it" }, "Worth now"), withElse && el("th", { scope: "col", class: "num", title: "Difference in money at the end of this life, had this been done here instead" }, "What if")];
  const rows = [];
  for (let a = 0; a <= facts.labels.length; a++) {
    const branch = made.find(b => b.action === a), price = a ? facts.labels[a - 1].price : null, open = !o.allowed || o.allowed[a];
    const chosen = a === o.action, other = side === "a" && state.whatif === a && state.branchLine === o.line;
    rows.push(el("tr", { class: chosen ? "done" : other ? "else" : open ? null : "not" },
      el("td", { class: "label" }, labelName(a), chosen ? el("span", { class: "sr" }, " (done)") : "", chosen ? " ◀" : ""),
      el("td", { class: "num price" }, price === null ? "" : money(price)),
      el("td", { class: "p" }, el("div", null, el("i", { style: `width:${Math.max(0, 100 * o.probability[a])}%` }), el("span", { class: "num" }, o.probability[a] > 0 ? percent(o.probability[a]) : "0"))),
      known && el("td", { class: "num" }, a ? el("span", { class: o.expected[a] < 0 ? "minus" : null }, money(o.expected[a], true)) : "0.00", open && o.expected[a] >= best - 1e-9 ? el("span", { title: "best now" }, " ★") : ""),
      withElse && el("td", { class: "num" }, chosen ? "" : branch ? el("button", { "data-else": a, "aria-pressed": other, "aria-label": `What if ${a ? `${labelName(a)} had been pushed` : "it had held back"} here: ${money(branch.difference, true)} in the end`, onclick: () => chooseBranch(state, o.line, other ? null : a) }, money(branch.difference, true)) : "–")));
  }
  const hint = side !== "a" || !now || withElse ? "" : facts.live ? "Living the branches of this moment …" : `What-if branches are on this page for ${facts.customers.filter(c => c.ahead).length} of ${facts.customers.length} customers; python -m sim.replay serve=true has them for all.`;
  return el("section", null, el("h3", null, "What could be pushed"), el("table", { class: "offer" }, el("thead", null, el("tr", null, head)), el("tbody", null, rows)),
    el("p", { class: "small soft", style: "margin-top:4px" }, known ? "★ worth most right now, on average" : "", hint ? (known ? ". " : "") + hint : ""));
}

function whyCard(side, o) {
  const policy = facts.policies[side], head = el("h3", null, "Why");
  if (!o.driver || !policy.drivers) return el("section", null, head, el("p", { class: "small soft" }, "No explanation for this policy on this page."));
  const biggest = Math.max(...[...o.weight].map(Math.abs)), floor = policy.method === "linear" ? .005 : .01;
  if (biggest < floor) return el("section", null, head, el("p", { class: "small" }, "Nothing that the policy could see would have changed this decision."));
  const grid = el("div", { class: "why" });
  for (let d = 0; d < o.driver.length; d++) {
    if (Math.abs(o.weight[d]) < floor / 2) continue;
    const width = 50 * Math.abs(o.weight[d]) / biggest, z = o.unusual[d], name = policy.drivers[o.driver[d]];
    const level = Math.abs(z) > 12.5 || Math.abs(z) < .3 ? "" : z > 0 ? (z > 1.5 ? " (much more than usual)" : " (more than usual)") : (z < -1.5 ? " (much less than usual)" : " (less than usual)");
    grid.append(el("span", null, name, el("span", { class: "soft" }, name === "a mask" || name === "the emotion on the face" ? "" : level)),
      el("span", { class: "axis" }, el("i", { class: o.weight[d] > 0 ? "for" : "against", style: o.weight[d] > 0 ? `left:50%;width:${width}%` : `right:50%;width:${width}%` })),
      el("span", { class: "num" }, `${o.weight[d] > 0 ? "+" : "−"}${Math.abs(o.weight[d]).toFixed(2)}`));
  }
  const did = o.requested ? `pushing ${labelName(o.requested)}` : "holding back";
  return el("section", null, head, el("div", { style: "margin-top:5px" }, grid),
    el("p", { class: "small soft", style: "margin-top:4px" }, policy.method === "linear" ? `Right speaks for ${did} rather than its best rival, left against; money that the bandit reckons with.` : `Right speaks for ${did}, left against; how much the log-probability falls when this is made as usual.`));
}

/* What if */
function chosenBranch(state) {
  return state.whatif === null ? null : branchesOf(state.branchLine).find(b => b.action === state.whatif) || null;
}
function chooseBranch(state, line, action) {
  state.whatif = action; state.branchLine = line;
  drawPaths(state); showMoment(state); remember(state);
}
function drawElse(state, at) {
  const branch = chosenBranch(state), holder = $("#else");
  if (!branch) { holder.replaceChildren(); holder.className = ""; return; }
  const steps = branchSteps(branch), taken = opportunity("a", state.branchLine), last = steps[steps.length - 1];
  const d = branch.difference, total = player.a.value + d, day = today(state.moment);
  let current = -1;
  steps.forEach((s, i) => { if (s.day <= day) current = i; });
  holder.className = "card else";
  holder.replaceChildren(
    el("div", { class: "cardhead", style: "margin:0" }, el("p", null, el("b", null, `What if, on day ${taken.day}, ${nameOf("a")} had ${branch.action ? `pushed ${labelName(branch.action)}` : "held back"} instead of ${taken.action ? labelName(taken.action) : "holding back"}? `),
      el("b", { class: d >= 0 ? "plus" : "minus", id: "else-difference" }, `${money(d, true)} in the end`), ` (${money(player.a.value)} → `, el("span", { id: "else-total" }, money(total)), `); the customer ${ending(last.flags)}, day ${last.day} instead of ${player.a.day}.`),
    el("button", { onclick: () => chooseBranch(state, null, null), "aria-label": "Close the what-if" }, "✕ close")),
    el("p", { class: "small soft" }, "Same customer, same luck; from the next opportunity on the policy decides for itself again. One draw of luck, not an average."),
    el("ol", { class: "trace" }, steps.map((s, i) => el("li", { class: i === current ? "now" : null }, icon(outcome(s), 12), `day ${s.day} ${labelName(s.action)}`, Math.abs(s.reward) > .2 ? el("b", { class: s.reward > 0 ? "plus" : "minus" }, money(s.reward, true)) : "", s.flags & OPTED_OUT ? icon("out", 12) : ""))));
}
async function askForBranches(state, o) {
  if (branchesAt.has(o.line) || player.asked.has(o.line)) return;
  player.asked.add(o.line);
  try {
    const answer = await fetch(`branches?customer=${facts.customers[state.row].id}&step=${o.step}`);
    if (!answer.ok) throw new Error(await answer.text());
    branchesAt.set(o.line, await answer.json());
    drawPaths(state); showMoment(state);
  } catch (error) { $("#live").textContent = `The server did not answer: ${error.message}`; player.asked.delete(o.line); }
}

/* Moving */
function go(state, moment) {
  state.moment = Math.max(0, Math.min(moment, player.moments.length - 1));
  showMoment(state); remember(state);
}
function playOrPause(state) {
  if (player.timer) { clearTimeout(player.timer); player.timer = null; playButton(false); showMoment(state); return; }
  if (state.moment === player.moments.length - 1) go(state, 0);
  playButton(true);
  const tick = () => {
    if (state.moment >= player.moments.length - 1) { playOrPause(state); return; }
    go(state, state.moment + 1);
    player.timer = setTimeout(tick, Number($("#speed").value));
  };
  player.timer = setTimeout(tick, Number($("#speed").value));
}
function stop() { if (player.timer) { clearTimeout(player.timer); player.timer = null; playButton(false); } }
