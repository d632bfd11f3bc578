"use strict";
/* The page's data: facts as JSON, lives as packed columns; and the questions that the views ask of them. */

const WIDTH = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
const CLICKED = 1, BOUGHT = 2, OPTED_OUT = 4, LAPSED = 8, TRUNCATED = 16;
const UNKNOWN = 0, SELF = 1, OTHER = 2;

let facts = null;      // the readable part
let columns = {};      // name -> typed array or numbers
let branchesAt = new Map();  // line of A -> [{action, difference, steps}]

async function unpack() {
  facts = JSON.parse(document.getElementById("facts").textContent);
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot inflate data; any browser from 2023 or later can");
  const text = atob(document.getElementById("block").textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  for (const [name, [kind, offset, length, scale]] of Object.entries(facts.columns)) {
    const raw = new WIDTH[kind](buffer, offset, length);
    columns[name] = scale === 1 ? raw : Float64Array.from(raw, x => x / scale);
  }
  const line = columns["branch/line"] || [];
  for (let m = 0; m < line.length; m++) {
    if (!branchesAt.has(line[m])) branchesAt.set(line[m], []);
    branchesAt.get(line[m]).push({ action: columns["branch/action"][m], difference: columns["branch/difference"][m], m });
  }
}

/* One opportunity of side "a" or "b" as an object; line numbers run over all customers. */
function opportunity(side, line) {
  const at = name => columns[`${side}/${name}`][line], many = (name, n) => columns[`${side}/${name}`]?.slice(line * n, line * n + n);
  const actions = facts.labels.length + 1, width = facts.policies[side].width;
  return {
    side, line, step: at("step"), day: at("day"), visit: at("visit"), action: at("action"), requested: at("requested"), flags: at("flags"),
    reward: at("reward"), margin: at("margin"), click_value: at("click_value"), push_cost: at("push_cost"), opt_out_cost: at("opt_out_cost"),
    refund: at("refund"), price: at("price"), image: at("image"), identity: at("identity"), recognised: at("recognised"),
    similarity: at("similarity"), true_emotion: at("true_emotion"), true_mask: at("true_mask"), mask: at("mask"), face: at("face"),
    emotion: many("emotion", facts.emotions.length), probability: many("probability", actions), allowed: many("allowed", actions), expected: many("expected", actions),
    mood: at("mood"), valence: at("valence"), fatigue: at("fatigue"), budget: at("budget"),
    click_probability: at("click_probability"), purchase_probability: at("purchase_probability"), opt_out_probability: at("opt_out_probability"),
    driver: many("driver", width), weight: many("weight", width), unusual: many("unusual", width),
  };
}

/* The life of customer `row` on one side: line numbers, running money, and how it ended. */
function life(side, row) {
  const start = columns[`${side}/start`][row], end = columns[`${side}/start`][row + 1], lines = [], money = [];
  let sum = 0;
  for (let line = start; line < end; line++) {
    lines.push(line);
    sum += columns[`${side}/reward`][line];
    money.push(sum);
  }
  const flags = columns[`${side}/flags`][end - 1];
  return { side, lines, money, value: sum, last: end - 1, flags, day: columns[`${side}/day`][end - 1] };
}

/* Both lives on one time axis: until they part, opportunity by opportunity; afterwards by day.
   Each moment is [index into life a or null, index into life b or null]. */
function moments(a, b, part) {
  const out = [], common = part < 0 ? Math.min(a.lines.length, b.lines.length) : part + 1;
  for (let i = 0; i < common; i++) out.push([i, i]);
  const days = new Map();
  const collect = (l, which) => {
    for (let i = common; i < l.lines.length; i++) {
      const day = columns[`${l.side}/day`][l.lines[i]];
      if (!days.has(day)) days.set(day, [[], []]);
      days.get(day)[which].push(i);
    }
  };
  collect(a, 0); collect(b, 1);
  for (const day of [...days.keys()].sort((x, y) => x - y)) {
    const [mine, theirs] = days.get(day);
    for (let k = 0; k < Math.max(mine.length, theirs.length); k++) out.push([mine[k] ?? null, theirs[k] ?? null]);
  }
  return out;
}

/* Branches that leave the life at a line of side a, [] where none were computed. */
const branchesOf = line => branchesAt.get(line) || [];

/* The opportunities lived in a branch, from the page's columns or as a server sent them. */
function branchSteps(branch) {
  if (branch.steps) return branch.steps;
  const from = columns["branch/start"][branch.m], to = columns["branch/start"][branch.m + 1], out = [];
  for (let i = from; i < to; i++) {
    out.push({
      day: columns["branch/day"][i], action: columns["branch/then"][i], flags: columns["branch/flags"][i],
      reward: columns["branch/reward"][i], mood: columns["branch/mood"][i], fatigue: columns["branch/fatigue"][i],
    });
  }
  return out;
}

const labelName = action => action ? facts.labels[action - 1].name : "hold back";
const money = (x, sign) => (x < -0.004 ? "−" : sign && x > 0.004 ? "+" : "") + Math.abs(x).toFixed(2);
const percent = x => x > 0 && x < 0.005 ? "<1 %" : `${Math.round(100 * x)} %`;
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

function outcome(o) {
  if (!o.action) return "hold";
  if (o.flags & BOUGHT) return "buy";
  return o.flags & CLICKED ? "click" : "ignored";
}
const OUTCOME_WORDS = { hold: "held back", ignored: "ignored", click: "clicked, not bought", buy: "bought" };

function ending(flags) {
  if (flags & OPTED_OUT) return "opted out";
  if (flags & LAPSED) return "came no more";
  return flags & TRUNCATED ? "stayed to the end" : "";
}

/* The likeliest perceived emotion, or -1 where the camera saw none. */
function seenEmotion(o) {
  const top = Math.max(...o.emotion);
  return !o.face || top - Math.min(...o.emotion) < 1e-4 ? -1 : o.emotion.indexOf(top);
}
