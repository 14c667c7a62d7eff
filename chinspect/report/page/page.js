"use strict";
/* Colours: as the system, light, dark. Whoever draws listens to the event "colours" of the document. */
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  let theme = "system";
  const announce = () => document.dispatchEvent(new Event("colours"));
  const set = (name) => {
    theme = name;
    if (name === "system") delete root.dataset.theme;
    else root.dataset.theme = name;
    button.textContent = "Colours: " + (name === "system" ? "as the system" : name);
    announce();
  };
  button.hidden = false;
  button.addEventListener("click", () => set(themes[(themes.indexOf(theme) + 1) % 3]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; announce(); });
  addEventListener("afterprint", () => set(theme));
})();

const chinspect = {
  blocks: (kind) => [...document.querySelectorAll(`[data-block=${kind}]`)].map((element) => ({
    element, data: JSON.parse(element.querySelector("script[type='application/json']").textContent),
  })),
  make: (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  },
  colour: (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim(),
};
