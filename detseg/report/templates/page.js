"use strict";
// The page is whole without this: it folds the parts into tabs, filters the gallery, colours the map and says what is on it,
// enlarges pictures, sets the theme.
const root = document.documentElement;
root.classList.add("js");

const nav = document.querySelector("nav");
const tabs = [...nav.querySelectorAll("a")];
const panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
nav.setAttribute("role", "tablist");
tabs.forEach((tab, i) => {
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panels[i].id);
  panels[i].setAttribute("role", "tabpanel");
  panels[i].setAttribute("aria-labelledby", tab.id);
  panels[i].addEventListener("beforematch", () => choose(i)); // found by the browser's own search
});
const choose = (chosen) => {
  tabs.forEach((tab, i) => {
    tab.setAttribute("aria-selected", String(i === chosen));
    tab.tabIndex = i === chosen ? 0 : -1;
    if (i === chosen) panels[i].removeAttribute("hidden");
    else panels[i].setAttribute("hidden", "until-found");
  });
};
const open = (i, { focus = false } = {}) => {
  choose(i);
  history.replaceState(null, "", tabs[i].hash);
  if (focus) tabs[i].focus();
  if (scrollY > nav.offsetTop) scrollTo({ top: document.querySelector(".bar-of-tabs").offsetTop });
};
nav.addEventListener("click", (event) => {
  const i = tabs.indexOf(event.target.closest("a"));
  if (i < 0) return;
  event.preventDefault();
  open(i);
});
nav.addEventListener("keydown", (event) => {
  const i = tabs.indexOf(event.target);
  const step = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (i < 0 || step === undefined) return;
  event.preventDefault();
  open((step + tabs.length) % tabs.length, { focus: true });
});
const follow = () => {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const i = aim ? panels.findIndex((panel) => panel.contains(aim)) : -1;
  choose(Math.max(i, 0));
  if (i >= 0 && aim !== panels[i]) aim.scrollIntoView();
  else scrollTo({ top: 0 });
};
addEventListener("hashchange", follow);
follow();

const theme = document.querySelector(".theme");
const themes = ["system", "light", "dark"];
const remember = (value) => {
  try {
    if (value === undefined) return localStorage.getItem("detseg-theme");
    localStorage.setItem("detseg-theme", value);
  } catch { /* a browser may keep nothing for files */ }
  return null;
};
const set = (value) => {
  root.dataset.theme = value;
  theme.textContent = { system: "◐ System", light: "☀ Light", dark: "☾ Dark" }[value];
  theme.setAttribute("aria-label", `Theme: ${value === "system" ? "as the system" : value}`);
};
theme.hidden = false;
set(themes.includes(remember()) ? remember() : "system");
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
  set(next);
  remember(next);
});

const filter = document.querySelector(".filter");
if (filter) {
  const shots = [...document.querySelectorAll(".shot")];
  const buttons = [...filter.querySelectorAll("button")];
  const select = filter.querySelector("select");
  const show = () => {
    const kind = buttons.find((button) => button.getAttribute("aria-pressed") === "true").dataset.kind;
    const matches = (edit) => {
      const [of, label] = edit.split(":");
      return (kind === "" || of === kind) && (select.value === "" || label === select.value);
    };
    for (const shot of shots) shot.hidden = !shot.dataset.edits.trim().split(" ").some(matches);
    const shown = shots.filter((shot) => !shot.hidden).length;
    filter.querySelector("output").textContent = `${shown} of ${shots.length} ${shots.length === 1 ? "image" : "images"}`;
  };
  filter.hidden = false;
  select.addEventListener("change", show);
  filter.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
    show();
  });
  show();
}

for (const map of document.querySelectorAll(".map")) {
  const plane = map.querySelector("svg");
  const dots = [...plane.querySelectorAll("circle")];
  const places = dots.map((dot) => [Number(dot.getAttribute("cx")), Number(dot.getAttribute("cy"))]);
  const colouring = map.querySelector(".colouring");
  const legends = [...map.querySelectorAll(".legend")];
  const marks = legends.map((legend) => [...legend.querySelectorAll(".dot")].map((dot) => dot.style.backgroundColor));
  const [thumb, name, detail, link] = [".thumb", ".name", ".detail", "a"].map((one) => map.querySelector(`.spot ${one}`));
  let chosen = -1;
  const colour = (way) => {
    dots.forEach((dot) => dot.setAttribute("fill", marks[way][Number(dot.dataset.colours.split(" ")[way])]));
    legends.forEach((legend, i) => { legend.hidden = i !== way; });
    for (const button of colouring.children) button.setAttribute("aria-pressed", String(Number(button.dataset.colouring) === way));
  };
  const show = (i) => {
    if (i < 0 || i === chosen) return;
    dots[chosen]?.classList.remove("chosen");
    chosen = i;
    dots[i].classList.add("chosen");
    name.textContent = dots[i].textContent;
    detail.textContent = dots[i].dataset.words;
    const [left, top] = dots[i].dataset.tile.split(" ");
    thumb.hidden = false;
    Object.assign(thumb.firstElementChild, { style: `margin: -${top}px 0 0 -${left}px`, alt: name.textContent });
    link.hidden = dots[i].dataset.link === undefined;
    if (!link.hidden) Object.assign(link, { href: dots[i].dataset.link, target: "_blank", rel: "noopener noreferrer" });
  };
  const nearest = (x, y, fits = () => true) => places.reduce((best, [px, py], i) => {
    const far = Math.hypot(px - x, py - y);
    return fits(px - x, py - y, i) && far < best.far ? { i, far } : best;
  }, { i: -1, far: Infinity }).i;
  const point = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plane.getScreenCTM().inverse());
    show(nearest(at.x, at.y));
  };
  plane.addEventListener("pointermove", point);
  plane.addEventListener("pointerdown", point);
  const ways = {
    ArrowRight: (dx, dy) => dx > 0 && Math.abs(dy) <= dx, ArrowLeft: (dx, dy) => dx < 0 && Math.abs(dy) <= -dx,
    ArrowDown: (dx, dy) => dy > 0 && Math.abs(dx) <= dy, ArrowUp: (dx, dy) => dy < 0 && Math.abs(dx) <= -dy,
  };
  plane.tabIndex = 0;
  plane.addEventListener("keydown", (event) => {
    if (!ways[event.key]) return;
    event.preventDefault();
    if (chosen < 0) show(nearest(500, 500));
    else show(nearest(...places[chosen], ways[event.key]));
  });
  colouring.hidden = false;
  colouring.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) colour(Number(button.dataset.colouring));
  });
}

const dialog = document.querySelector("dialog");
const enlarge = (picture) => {
  dialog.querySelector("img").src = picture.src;
  dialog.querySelector("img").alt = picture.alt;
  dialog.querySelector("p").textContent = picture.alt;
  dialog.showModal();
};
for (const picture of document.querySelectorAll(".panels img")) {
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.addEventListener("click", () => enlarge(picture));
  picture.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    enlarge(picture);
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("button")) dialog.close();
});
