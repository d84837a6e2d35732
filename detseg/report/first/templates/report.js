"use strict";
// The page is whole without this: it adds the filter of the gallery and enlarges pictures.
document.documentElement.classList.add("js");

const filter = document.querySelector(".filter");
if (filter) {
  const shots = [...document.querySelectorAll(".shot")];
  const buttons = [...filter.querySelectorAll("button")];
  filter.hidden = false;
  filter.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
    const kind = chosen.dataset.filter;
    for (const shot of shots) shot.hidden = kind !== "" && !shot.dataset.kinds.split(" ").includes(kind);
    const shown = shots.filter((shot) => !shot.hidden).length;
    filter.querySelector("output").textContent = `${shown} of ${shots.length} images`;
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
