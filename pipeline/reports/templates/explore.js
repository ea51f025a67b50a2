"use strict";
// Text from data reaches the page by textContent alone: it is never markup.
const data = JSON.parse(document.getElementById("data").textContent);
for (const view of data.views) {
  // A column of zeros is not written.
  const zeros = view.day.map(() => 0);
  for (const dim of view.dims) if (!dim.row.length) dim.row = zeros;
  if (!view.unknown.length) view.unknown = zeros;
}
const COLOURS = ["#0b5fa5", "#e8a33d", "#2f8f6f", "#c4511a", "#63b7e6", "#b5679a", "#7d64a0", "#b9a916", "#8b93a0"];
const SERIES = COLOURS.length - 1;
const day = (number) => new Date(Date.parse(data.from) + 864e5 * number).toISOString().slice(0, 10);
const dayNumber = (text) => Math.round((Date.parse(text) - Date.parse(data.from)) / 864e5);
// What is not zero is never written as zero.
const fixed = (value, digits) => {
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return value && !/[1-9]/.test(text) ? (value < 0 ? ">\u2212" : "<") + (10 ** -digits).toFixed(digits) : text;
};
const KINDS = {
  money: { of: (sums, at) => sums[at] / 1e6, text: (value) => fixed(value, data.digits), unit: data.currency },
  tokens: { of: (sums, at) => sums[at] / 1e6, text: (value) => fixed(value, 2), unit: "million tokens" },
  hours: { of: (sums, at) => sums[at] / 3.6e6, text: (value) => fixed(value, 1), unit: "GPU-hours" },
  price: { of: (sums) => (sums[1] ? sums[0] / sums[1] : null), text: (value) => fixed(value, 4), unit: data.currency + " per million tokens" },
};

function made(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function drawn(tag, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What is chosen of each view: what to group by, which value, and a place of a name by dimension.
const chosen = data.views.map(() => ({ by: 0, value: 0, only: new Map(), from: 0, to: data.days - 1 }));
let open = 0;

// Sums of the rows that are chosen: by group, and by group and day.
function summed(view, state) {
  const stored = view.values.filter((value) => value.row);
  const groups = new Map();
  const whole = stored.map(() => 0);
  let unknown = 0;
  const by = view.dims[state.by].row;
  const only = [...state.only].map(([at, name]) => [view.dims[at].row, name]);
  for (let row = 0; row < view.day.length; row++) {
    if (view.day[row] < state.from || view.day[row] > state.to) continue;
    if (only.some(([places, name]) => places[row] !== name)) continue;
    if (!groups.has(by[row])) groups.set(by[row], { name: by[row], sums: stored.map(() => 0), days: new Map(), unknown: 0 });
    const group = groups.get(by[row]);
    if (!group.days.has(view.day[row])) group.days.set(view.day[row], stored.map(() => 0));
    const ofDay = group.days.get(view.day[row]);
    stored.forEach((value, at) => {
      group.sums[at] += value.row[row];
      ofDay[at] += value.row[row];
      whole[at] += value.row[row];
    });
    group.unknown += view.unknown[row];
    unknown += view.unknown[row];
  }
  return { groups: [...groups.values()], whole, unknown };
}

function choice(label, names, at, pick) {
  const select = made("select", { onchange: (event) => pick(Number(event.target.value)) });
  names.forEach(([value, name]) => select.append(made("option", { value, selected: value === at }, name)));
  return made("label", {}, label, select);
}

function dateInput(label, number, pick) {
  const input = made("input", { type: "date", value: day(number), min: day(0), max: day(data.days - 1) });
  input.onchange = () => pick(Math.min(data.days - 1, Math.max(0, input.value ? dayNumber(input.value) : number)));
  return made("label", {}, label, input);
}

function show(focus) {
  document.querySelectorAll("[role=tab]").forEach((tab, at) => {
    tab.setAttribute("aria-selected", String(at === open));
    tab.tabIndex = at === open ? 0 : -1;
  });
  const main = document.getElementById("view");
  main.setAttribute("aria-labelledby", "tab-" + open);
  main.replaceChildren(...(open < data.views.length ? sliced(data.views[open], chosen[open]) : verdicts()));
  if (focus) document.getElementById(focus)?.focus();
}

function sliced(view, state) {
  const again = (change, focus) => { change(); show(focus); };
  const value = view.values[state.value];
  const kind = KINDS[value.kind];
  const at = view.values.filter((one) => one.row).indexOf(value);
  const of = (sums) => kind.of(sums, at);
  const found = summed(view, state);
  found.groups.sort((one, other) => Math.abs(other.sums[0]) - Math.abs(one.sums[0]) || one.name - other.name);
  const names = view.dims[state.by].names;
  const controls = made("div", { className: "controls" },
    choice("Group by", view.dims.map((dim, place) => [place, dim.title]), state.by, (place) => again(() => { state.by = place; })),
    view.values.length > 1 ? choice("Show", view.values.map((one, place) => [place, one.title]), state.value, (place) => again(() => { state.value = place; })) : null,
    ...view.dims.map((dim, place) => dim.names.length < 2 ? null : choice(dim.title, [[-1, "all"], ...dim.names.map((name, number) => [number, name])],
      state.only.has(place) ? state.only.get(place) : -1, (name) => again(() => { if (name < 0) state.only.delete(place); else state.only.set(place, name); }))),
    dateInput("From", state.from, (number) => again(() => { state.from = Math.min(number, state.to); })),
    dateInput("To", state.to, (number) => again(() => { state.to = Math.max(number, state.from); })),
  );
  const chips = made("div", { className: "chips" }, ...[...state.only].map(([place, name]) =>
    made("button", { type: "button", title: "Show all again", onclick: () => again(() => state.only.delete(place)) },
      view.dims[place].title + ": " + view.dims[place].names[name] + " ×")));
  const whole = found.groups.length ? of(found.whole) : null;
  const measure = view.dims.findIndex((dim) => dim.title === "Measure");
  const measures = new Set(measure < 0 ? [] : summed(view, { ...state, by: measure }).groups.map((group) => view.dims[measure].names[group.name]));
  const notes = [
    found.unknown ? found.unknown.toLocaleString("en-US") + " amounts are unknown: without a price, an exchange rate or a count. They are in no sum." : "",
    measures.size > 1 ? "Here together: " + [...measures].join(", ") + ". They are different claims: choose a measure to see it alone." : "",
  ].filter(Boolean);
  return [
    controls, chips,
    made("p", { className: "total", id: "total", role: "status" }, whole !== null ? kind.text(whole) : found.groups.length ? "undefined" : "—", " ", made("small", {}, kind.unit)),
    ...notes.map((note) => made("p", { className: "note" }, note)),
    found.groups.length ? chart(view, state, found.groups, of, kind, names) : null,
    groupsTable(view, state, found, of, kind, names, again),
  ].filter((part) => part !== null);
}

function colour(view, state, group, rank) {
  if (view.name === "waste" && view.dims[state.by].title === "State" && view.colours[group.name]) return view.colours[group.name];
  return COLOURS[Math.min(rank, SERIES)];
}

// Bars of days, the largest groups apart and the rest in one; of a ratio a point a day.
function chart(view, state, groups, of, kind, names) {
  // As wide as it is shown, so that a phone reads its letters too.
  const [wide, high, left, bottom] = [Math.max(280, Math.min(960, document.getElementById("view").clientWidth)), 260, 70, 22];
  const days = state.to - state.from + 1;
  const step = (wide - left) / days;
  const isRatio = kind === KINDS.price;
  let least = 0, most = 0;
  const columns = [];
  for (let number = state.from; number <= state.to; number++) {
    let up = 0, down = 0;
    const segments = [];
    if (isRatio) {
      const sums = groups.reduce((whole, group) => { (group.days.get(number) || []).forEach((one, at) => { whole[at] += one; }); return whole; }, [0, 0]);
      const value = of(sums);
      if (value !== null) { segments.push({ from: 0, to: value, colour: COLOURS[0], text: day(number) + ": " + kind.text(value) + " " + kind.unit }); up = value; }
    } else {
      const rest = { up: 0, down: 0 };
      groups.forEach((group, rank) => {
        const value = group.days.has(number) ? of(group.days.get(number)) : 0;
        if (!value) return;
        if (rank >= SERIES) { rest[value > 0 ? "up" : "down"] += value; return; }
        const from = value > 0 ? up : down;
        if (value > 0) up += value; else down += value;
        segments.push({ from, to: from + value, colour: colour(view, state, group, rank), text: day(number) + ", " + names[group.name] + ": " + kind.text(value) + " " + kind.unit });
      });
      if (rest.up) { segments.push({ from: up, to: up + rest.up, colour: COLOURS[SERIES], text: day(number) + ", all others: " + kind.text(rest.up) }); up += rest.up; }
      if (rest.down) { segments.push({ from: down, to: down + rest.down, colour: COLOURS[SERIES], text: day(number) + ", all others: " + kind.text(rest.down) }); down += rest.down; }
    }
    most = Math.max(most, up);
    least = Math.min(least, down);
    columns.push(segments);
  }
  const y = (value) => high - ((value - least) / ((most - least) || 1)) * (high - 10);
  const svg = drawn("svg", { class: "days", viewBox: "0 0 " + wide + " " + (high + bottom), role: "img", "aria-label": "By day; the table below has the sums." });
  ticks(least, most).forEach((tick) => svg.append(
    drawn("line", { class: "grid", x1: left, x2: wide, y1: y(tick), y2: y(tick) }),
    drawn("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick.toLocaleString("en-US", { maximumFractionDigits: 4 }))));
  columns.forEach((segments, number) => segments.forEach((one) => svg.append(drawn("rect", {
    class: "seg", x: left + number * step + Math.min(1, step * 0.1), width: Math.max(0.5, step - Math.min(2, step * 0.2)),
    y: Math.min(y(one.from), y(one.to)), height: Math.abs(y(one.from) - y(one.to)), fill: one.colour }, drawn("title", {}, one.text)))));
  // No more than have room, and none that would stand beyond the last day.
  const room = 70;
  const every = Math.ceil(days / Math.max(1, Math.min(8, Math.floor((wide - left) / (room * 1.2)))));
  for (let number = 0; number < days; number += every) {
    const x = left + number * step;
    if (number === 0 || x + room <= wide) svg.append(drawn("text", { class: "day", x, y: high + 16 }, day(state.from + number)));
  }
  return made("figure", {}, svg, made("figcaption", {}, "By day, " + kind.unit + ". Days in UTC."));
}

function ticks(least, most) {
  const about = (most - least) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(about));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= about);
  const found = [];
  for (let tick = Math.ceil(least / step) * step; tick <= most + step / 1e6; tick += step) found.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return found;
}

function groupsTable(view, state, found, of, kind, names, again) {
  const isRatio = kind === KINDS.price;
  const whole = of(found.whole);
  const largest = Math.max(...found.groups.map((group) => Math.abs(of(group.sums) || 0)), 1e-12);
  const rows = found.groups.map((group, rank) => {
    const value = of(group.sums);
    const bar = made("span", { className: "bar" });
    bar.style.width = (100 * Math.abs(value || 0)) / largest + "%";
    const key = made("span", { className: "key" });
    bar.style.background = key.style.background = isRatio ? COLOURS[0] : colour(view, state, group, rank);
    const pick = made("button", { type: "button", className: "pick", onclick: () => again(() => {
      state.only.set(state.by, group.name);
      const next = view.dims.findIndex((dim, place) => !state.only.has(place));
      if (next >= 0) state.by = next;
    }, "view") }, made("bdi", {}, names[group.name]));
    return made("tr", {}, made("th", { scope: "row" }, made("span", { className: "named" }, key, pick)),
      made("td", { className: "number" }, value === null ? "undefined" : kind.text(value)),
      made("td", { className: "number" }, isRatio || !whole || value === null ? "" : fixed((100 * value) / whole, 1) + "%"),
      made("td", { className: "wide" }, bar),
      found.unknown ? made("td", { className: "number" }, group.unknown ? group.unknown.toLocaleString("en-US") : "") : null);
  });
  if (!rows.length) return made("p", { className: "note" }, "Nothing of it in these days.");
  return made("div", { className: "scroll" }, made("table", {},
    made("caption", {}, "By " + view.dims[state.by].title.toLowerCase() + ": choose a name to look into it"),
    made("thead", {}, made("tr", {}, ...[view.dims[state.by].title, kind.unit, "Share", "", ...(found.unknown ? ["Unknown"] : [])].map((title, at) =>
      made("th", { scope: "col", className: at === 0 || at === 3 ? "" : "number" }, title)))),
    made("tbody", {}, ...rows, made("tr", { className: "sum" }, made("th", { scope: "row" }, "Sum"),
      made("td", { className: "number" }, whole === null ? "undefined" : kind.text(whole)), made("td"), made("td"), found.unknown ? made("td") : null))));
}

const only = { team: "", text: "" };
function verdicts() {
  const teams = [...new Set(data.verdicts.map((one) => one.team))].sort();
  const text = made("input", { type: "search", value: only.text, id: "find", placeholder: "a name" });
  text.oninput = () => { only.text = text.value; fill(); };
  const body = made("tbody");
  const fill = () => body.replaceChildren(...data.verdicts
    .filter((one) => (!only.team || one.team === only.team) && (one.workload + " " + one.deployment).toLowerCase().includes(only.text.toLowerCase()))
    .map(verdictRow));
  fill();
  const head = ["Workload", "Team", "Advice", "Saving", "Demand", "First break-even", "Ratio", "By day"];
  const units = ["", "", "", data.currency + " a month", "million tokens a day", "million tokens a day", "demand / break-even", "1 is the break-even"];
  return [
    made("div", { className: "controls" }, choice("Team", [["", "all"], ...teams.map((team) => [team, team])], only.team, () => {}), made("label", {}, "Find", text)),
    data.verdicts.length ? made("div", { className: "scroll" }, made("table", {}, made("caption", {}, "Verdicts, the newest of each workload"),
      made("thead", {}, made("tr", {}, ...head.map((title, at) => made("th", { scope: "col", className: at > 2 && at < 7 ? "number" : "" }, title, units[at] ? made("div", { className: "note" }, units[at]) : null)))), body))
      : made("p", { className: "note" }, "No workload has a verdict in these days."),
  ];
}

function verdictRow(one) {
  const million = (value) => (value === null ? "—" : fixed(value / 1e6, 2));
  return made("tr", {}, made("th", { scope: "row" }, made("bdi", {}, one.workload)), made("td", { className: "name" }, made("bdi", {}, one.team)),
    made("td", { className: "name" }, one.advice, made("time", {}, one.date)),
    made("td", { className: "number" }, one.saving === null ? "—" : fixed(one.saving, data.digits)),
    made("td", { className: "number" }, million(one.demand)), made("td", { className: "number" }, million(one.breakeven)),
    made("td", { className: "number" }, one.ratio === null ? "—" : fixed(one.ratio, 2)), made("td", {}, spark(one)));
}

// Demand over the first break-even by day; a gap stays a gap.
function spark(one) {
  if (!one.days.length) return "";
  const most = Math.max(1, ...one.days.map(([, ratio]) => ratio)) * 1.05;
  const x = (number) => (144 * number) / Math.max(1, data.days - 1);
  const y = (ratio) => 31 - (30 * ratio) / most;
  let path = "", before = -2;
  one.days.forEach(([number, ratio]) => { path += (number === before + 1 ? "L" : "M") + x(number).toFixed(1) + " " + y(ratio).toFixed(1) + (number === before + 1 ? "" : "h0.01"); before = number; });
  return drawn("svg", { class: "spark", viewBox: "0 0 144 32", role: "img", "aria-label": one.days.length + " days, the last at " + one.days[one.days.length - 1][1] },
    drawn("line", { x1: 0, x2: 144, y1: y(1), y2: y(1) }), drawn("path", { d: path }));
}

const titles = [...data.views.map((view) => view.title), "Verdicts"];
document.getElementById("tabs").append(...titles.map((title, at) => made("button", {
  type: "button", role: "tab", id: "tab-" + at, "aria-controls": "view", onclick: () => { open = at; show(); },
  onkeydown: (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    open = (open + move + titles.length) % titles.length;
    show("tab-" + open);
  },
}, title)));
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width && open < data.views.length) { width = innerWidth; show(document.activeElement?.id); } });
// A team is chosen by its name, not by a place.
document.getElementById("view").addEventListener("change", (event) => {
  if (open === data.views.length && event.target.tagName === "SELECT") { only.team = event.target.value; show(); }
});
show();
