"use strict";
/* The list of customers to pick from: casts (best, worst, ...), filters, search. */

const people = { shown: [] };

function tagsOf(c) {
  const tags = [];
  if (c.opted_out) tags.push("opted out");
  if (c.lapsed) tags.push("came no more");
  if (c.mistaken) tags.push(`mistaken ${c.mistaken}×`);
  if (c.misread) tags.push(`misread ${c.misread} of ${c.visits}`);
  if (c.masked) tags.push("mask");
  if (!c.enrolled) tags.push("not enrolled");
  return tags;
}

function buildPeople(state, choose) {
  const select = (id, title, options) => el("div", null, el("label", { for: id }, title),
    el("select", { id, onchange: () => listPeople(state, choose) }, options.map(([value, text]) => el("option", { value }, text))));
  const number = (id, title, placeholder) => el("div", null, el("label", { for: id }, title),
    el("input", { id, type: "number", step: "any", placeholder, inputmode: "decimal", oninput: () => listPeople(state, choose) }));
  const casts = facts.casts.map(c => [c.key, `${c.title} (${c.customers.length})`]);
  $("#people").append(
    el("label", { for: "find" }, "Customer number"),
    el("input", { id: "find", type: "search", inputmode: "numeric", placeholder: `one of ${facts.customers.length} on this page`, autocomplete: "off",
      oninput: () => listPeople(state, choose), onkeydown: event => { if (event.key === "Enter" && people.shown.length) choose(people.shown[0]); } }),
    select("cast", "List", [["", `All on this page (${facts.customers.length})`], ...casts]),
    el("p", { id: "cast-meaning", class: "small soft" }),
    el("div", { class: "pair" },
      select("f-mask", "Mask", [["", "any"], ["yes", "worn at times"], ["no", "never"]]),
      select("f-known", "Recognition", [["", "any"], ["known", "recognised"], ["never", "never"], ["mistaken", "mistaken"]]),
      number("f-low", `Money from`, "any"), number("f-high", "to", "any")),
    el("p", { id: "count", class: "count", role: "status" }),
    el("ol", { id: "list", class: "list" }));
  listPeople(state, choose);
}

function listPeople(state, choose) {
  const read = id => $(`#${id}`).value, cast = facts.casts.find(c => c.key === read("cast"));
  const find = read("find").trim(), low = read("f-low"), high = read("f-high");
  $("#cast-meaning").textContent = cast ? cast.meaning : "";
  const rowOf = new Map(facts.customers.map((c, row) => [c.id, row]));
  const rows = cast ? cast.customers.map(id => rowOf.get(id)) : facts.customers.map((_, row) => row);
  people.shown = rows.filter(row => {
    const c = facts.customers[row];
    return (!find || String(c.id).startsWith(find)) && (low === "" || c.a >= Number(low)) && (high === "" || c.a <= Number(high))
      && (!read("f-mask") || (read("f-mask") === "yes") === c.masked > 0)
      && (!read("f-known") || (read("f-known") === "known" ? c.recognised > 0 : read("f-known") === "never" ? !c.recognised : c.mistaken > 0));
  });
  $("#count").textContent = `${plural(people.shown.length, "customer")}; money under ${facts.policies.a.name} / ${nameOf("b")}`;
  $("#list").replaceChildren(...people.shown.map(row => {
    const c = facts.customers[row];
    return el("li", null, el("button", { "data-row": row, onclick: () => choose(row) },
      face(columns["a/image"][columns["a/start"][row]], ""),
      el("span", { class: "who" }, `Customer ${c.id}`, el("span", { class: "tags" }, tagsOf(c).join(" · ") || "nothing special")),
      el("span", { class: "money" }, el("b", null, money(c.a)), el("span", null, money(c.b)))));
  }));
  if (!people.shown.length) $("#list").append(el("li", { class: "small soft", style: "padding:12px" }, "Nobody on this page fits; loosen a filter."));
  markPerson(state.row);
}

function markPerson(row) {
  for (const button of document.querySelectorAll("#list button")) {
    const here = Number(button.dataset.row) === row;
    button.setAttribute("aria-current", here);
    if (here) { const list = $("#list"), y = button.offsetTop - list.offsetTop; if (y < list.scrollTop || y > list.scrollTop + list.clientHeight - 50) list.scrollTop = y - 90; }
  }
}
const nameOf = side => facts.policies[side].run ? `${facts.policies[side].name} (${facts.policies[side].run})` : facts.policies[side].name;
